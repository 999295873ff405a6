"""Tasks of the benchmarks: embeddings with labels and the text side of their model."""

import gzip
import inspect
import re
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.preprocessing import normalize

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, PrecomputedTextEncoder
from sksemobridge.datasets import load_emoji, load_image_folder

# A task needs this share of its classes.
MIN_CLASSES = 0.8
# Draws of the tasks of files.
FIRST_SEED, MANY_CLASSES = 2000, 150
FASHION_MNIST = "/usr/share/datasets/fashion-mnist"  # where Debian's package `dataset-fashion-mnist` puts it


@dataclass(frozen=True)
class Task:
    """Images to classify, as embeddings.

    Attributes
    ----------
    name : str
    model : str
        Where the embeddings come from.
    X : ndarray of shape (n, D)
        Image embeddings.
    y : ndarray of shape (n,)
        Labels.
    text_encoder : estimator or None
        Knows the texts of the classes; None where there are none.
    prompts : str or dict
        As `SeMoBridgeClassifier` takes them.
    classes : ndarray of shape (C,) or None
        Labels in the order in which shots are drawn, sorted by default.
    spare : int
        Images that a class must have beyond its shots.
    """

    name: str
    model: str
    X: np.ndarray
    y: np.ndarray
    text_encoder: object
    prompts: object
    classes: np.ndarray | None = None
    spare: int = 1

    def draw(self, k, seed):
        """Rows of `k` shots of each class and rows of all other images of these classes.

        Classes with fewer than `k + spare` images are left out. None where more than a fifth of them are.
        """
        rng = np.random.default_rng(seed)
        classes = np.unique(self.y) if self.classes is None else self.classes
        rows = [np.flatnonzero(self.y == c) for c in classes]
        rows = [of_class for of_class in rows if len(of_class) >= k + self.spare]
        if len(rows) < MIN_CLASSES * len(classes):
            return None
        shuffled = [rng.permutation(of_class) for of_class in rows]
        shots = np.concatenate([of_class[:k] for of_class in shuffled])
        return shots, np.sort(np.concatenate([of_class[k:] for of_class in shuffled]))

    def seeds(self):
        """Seeds of the draws: five, where there are many classes two."""
        return range(FIRST_SEED, FIRST_SEED + (2 if len(np.unique(self.y)) >= MANY_CLASSES else 5))

    def some_classes(self, size, k, seed):
        """The task with `size` of the classes that have `k + spare` images; None where there are fewer."""
        names, counts = np.unique(self.y, return_counts=True)
        names = np.random.default_rng(seed).permutation(names[counts >= k + self.spare])[:size]
        rows = np.isin(self.y, names)
        return replace(self, X=self.X[rows], y=self.y[rows], classes=None) if len(names) == size else None


def from_npz(path, spare=1):
    """Embeddings in a file.

    It holds `images (n, D)`, `labels (n,)`, the codes of `class_names (C,)`, and may hold `text (C, D)`, the joint
    embeddings of the class texts; the text projection is taken as the identity.
    """
    with np.load(path) as data:
        names, X, y = data["class_names"], data["images"].astype(np.float64), data["labels"]
        text = data["text"].astype(np.float64) if "text" in data else None
    if text is None:
        encoder = None
    else:
        texts = [name.replace("_", " ") for name in names]  # as prompts are written from class names
        encoder = PrecomputedTextEncoder(texts, text, np.eye(text.shape[1]))
    return Task(Path(path).stem, "npz", X, names[y], encoder, "{}", names, spare)


def from_folder(*folders):
    """The tasks of npz files, or of all those in folders, in the order of their names."""
    tasks = []
    for folder in map(Path, folders):
        paths = [folder] if folder.is_file() else sorted(folder.glob("*.npz"))
        if not paths:
            raise FileNotFoundError(f"There is no npz file in {str(folder)!r}.")
        tasks += [from_npz(path, spare=2) for path in paths]
    return tasks


def made_up_arrays(n_classes, shots, width):
    """Classes around random directions, texts near them and a random projection, what training a bridge needs."""
    # Here, since other tasks are loaded by versions that have it elsewhere (`compare.py`).
    from sksemobridge._paper.bridge import Bridge

    rng = np.random.default_rng(0)
    noise = 1 / np.sqrt(width)
    means = normalize(rng.normal(size=(n_classes, width)))
    codes = np.repeat(np.arange(n_classes), shots)
    X = means[codes] + noise * rng.normal(size=(len(codes), width))
    projection = noise * rng.normal(size=(width, width))
    bridge = Bridge.closed_form(projection).matrix
    eos = (means + noise * rng.normal(size=means.shape)) @ bridge
    arrays = {
        "X": X,
        "share": np.full(len(codes), 1 / shots),
        "bridge": bridge,
        "projection": projection,
        "text_embeddings": normalize(eos @ projection),
        "eos_directions": normalize(eos),
    }
    return {"codes": codes} | arrays


def train_on(arrays, training):
    """The bridge that `training` makes of `made_up_arrays`."""
    from sksemobridge._paper.bridge import Bridge
    from sksemobridge._paper.training import train_bridge

    shots = (arrays[name] for name in ("X", "codes", "share"))
    sides = {"embeddings": arrays["text_embeddings"], "eos_directions": arrays["eos_directions"]}
    texts = SimpleNamespace(**sides, logit_scale=100.0)
    return train_bridge(*shots, Bridge(arrays["bridge"], arrays["projection"]), training, texts)


def made_up(n_classes, shots, width):
    """A task of `made_up_arrays`."""
    return as_task(made_up_arrays(n_classes, shots, width))


def as_task(arrays):
    """Made-up arrays as a task, to be used whole."""
    texts = [f"class {code}" for code in range(len(arrays["eos_directions"]))]
    encoder = PrecomputedTextEncoder(texts, arrays["eos_directions"], arrays["projection"])
    prompts = {code: [text] for code, text in enumerate(texts)}
    return Task("made up", "made up", arrays["X"], arrays["codes"], encoder, prompts)


def from_pictures(name, images, labels, model="mini", pretrained="bundled", cache=None):
    """Embed pictures, by default with the bundled model; `cache` is a folder that keeps embeddings."""
    encoder = CLIPImageEncoder(model, pretrained, precision="fp32", cache=cache)
    text_encoder = CLIPTextEncoder(model, pretrained, cache=cache)
    X = encoder.transform(images).astype(np.float64)
    return Task(name, f"{model} {pretrained}", X, labels, text_encoder, "auto")


def emoji(cache=None):
    """The bundled pictures, in the style that the bundled model has not seen."""
    data = load_emoji()
    return from_pictures("emoji", list(data.images), data.target_names[data.target], cache=cache)


def emoji_finer(cache=None):
    """The bundled pictures of people by what they do or are: artist, biking, elf, ...

    Classes are the names without man, woman or person that have three pictures or more. Mirrored pictures ("facing
    right") are left out.
    """
    data = load_emoji()
    what = np.array([re.sub(r"^(man|woman|person|men|women|people)(: | )", "", name) for name in data.names])
    names, code, count = np.unique(what, return_inverse=True, return_counts=True)
    mirrored = np.char.endswith(data.names, ": facing right")
    taken = (count[code] >= 3) & ~mirrored
    return from_pictures("emoji-finer", list(data.images[taken]), what[taken], cache=cache)


def digits(cache=None):
    """scikit-learn's handwritten digits, which the bundled model cannot read."""
    data = load_digits()
    pixels = np.round(data.images / 16 * 255).astype(np.uint8)
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    images = list(np.kron(pixels, np.ones((1, 8, 8), dtype=np.uint8)))
    return from_pictures("digits", images, names[data.target], cache=cache)


def fashion_mnist(folder=FASHION_MNIST, cache=None):
    """The 10,000 test pictures of Fashion-MNIST, from its four files as published."""
    pixels, labels = (Path(folder, f"t10k-{part}-ubyte.gz") for part in ("images-idx3", "labels-idx1"))
    for path in (pixels, labels):
        if not path.exists():
            raise FileNotFoundError(
                f"There is no {str(path)!r}. Install Debian's package dataset-fashion-mnist, or name the folder."
            )
    images = np.frombuffer(gzip.decompress(pixels.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)
    target = np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8)
    names = [
        "t-shirt",
        "trousers",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ]
    return from_pictures("fashion-mnist", list(images), np.array(names)[target], cache=cache)


def image_folder(root, model="mini", pretrained="bundled", cache=None):
    """Pictures in a folder that has a sub-folder for each class."""
    data = load_image_folder(root)
    labels = data.target_names[data.target]
    return from_pictures(Path(root).resolve().name, list(data.paths), labels, model, pretrained, cache)


def torchvision_dataset(name, root, model="mini", pretrained="bundled", cache=None):
    """The test set of a data set of torchvision, such as `CIFAR10`, found in `root` or downloaded to it."""
    from torchvision import datasets

    kind = getattr(datasets, name, None)
    if not inspect.isclass(kind):
        raise ValueError(f"torchvision has no data set {name!r}; names are those of torchvision.datasets.")
    parameters = inspect.signature(kind).parameters
    options = {"download": True, "split": "test", "train": False}
    data = kind(root=root, **{name: value for name, value in options.items() if name in parameters})
    names = getattr(data, "classes", None)
    if names is None:
        raise ValueError(f"torchvision's {name} has no names of classes (`classes`).")
    images, target = zip(*(data[i] for i in range(len(data))))
    return from_pictures(name, list(images), np.array(names)[list(target)], model, pretrained, cache)


def openmoji(node_modules):
    """The style on which settings were chosen, drawn from npm packages (see `tools/emoji_pictures.py`)."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
    from emoji_pictures import DEVELOPMENT_SET, SUBGROUP_NAMES, read_emoji_once

    rows = read_emoji_once(node_modules, DEVELOPMENT_SET, size=72)
    counts = Counter(row[4] for row in rows)
    rows = [row for row in rows if counts[row[4]] >= 20]
    return from_pictures(
        "openmoji", [row[1] for row in rows], np.array([SUBGROUP_NAMES[row[4]] for row in rows])
    )


OFFLINE = {"emoji": emoji, "emoji-finer": emoji_finer, "digits": digits}


def load(name, *, model="mini", pretrained="bundled", cache=None, data="data", fashion=FASHION_MNIST):
    """The task of a name on the command line.

    That is one of `OFFLINE`, `fashion-mnist` (files in the folder `fashion`), `folder:PATH`, `torchvision:NAME`
    (files in `data`), `npz:FILE` or `openmoji:NODE_MODULES`. Pictures of `folder:` and `torchvision:` go through
    `model`, all others through the bundled one.
    """
    kind, _, rest = name.partition(":")
    if kind == "npz":
        return from_npz(rest)
    if kind == "folder":
        return image_folder(rest, model, pretrained, cache)
    if kind == "torchvision":
        return torchvision_dataset(rest, data, model, pretrained, cache)
    if kind == "openmoji":
        return openmoji(rest)
    if name == "fashion-mnist":
        return fashion_mnist(fashion, cache)
    if name not in OFFLINE:
        names = ", ".join([*OFFLINE, "fashion-mnist"])
        raise ValueError(
            f"There is no task {name!r}. Name {names}, folder:PATH, torchvision:NAME or npz:FILE."
        )
    return OFFLINE[name](cache)


def accuracy_and_log_loss(classifier, X, y):
    """Accuracy in percent, and log loss."""
    probability = classifier.predict_proba(X)
    right = classifier.classes_[probability.argmax(axis=1)] == y
    return 100 * right.mean(), log_loss(y, probability, labels=classifier.classes_)


def expected_calibration_error(probability, right, bins=15):
    """Mean gap between confidence and accuracy over equal-width bins of confidence."""
    index = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = np.bincount(index, weights=right - probability, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))
