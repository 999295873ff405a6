"""Tasks of the benchmarks: embeddings with labels and the text side of their model."""

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FASHION_MNIST = "/usr/share/datasets/fashion-mnist"  # where Debian's package `dataset-fashion-mnist` puts it


@dataclass(frozen=True)
class Task:
    """Image embeddings `X (n, D)`, labels `y (n,)` as text, and an encoder that knows the class texts."""

    name: str
    X: np.ndarray
    y: np.ndarray
    text_encoder: object
    prompts: object

    def draw(self, k, seed):
        """Indices of `k` shots of each class and of all other rows."""
        rng = np.random.default_rng(seed)
        shots = [rng.permutation(np.flatnonzero(self.y == c))[:k] for c in np.unique(self.y)]
        shots = np.concatenate(shots)
        return shots, np.setdiff1d(np.arange(len(self.y)), shots)


def from_npz(path):
    """A file with `images`, `labels`, `class_names` and joint-space `text`, one row a class; `W` the identity."""
    from sksemobridge import PrecomputedTextEncoder

    data = np.load(path)
    names = data["class_names"]
    encoder = PrecomputedTextEncoder(
        [f"a photo of a {n}." for n in names], data["text"].astype(np.float64), np.eye(data["text"].shape[1])
    )
    X, y = data["images"].astype(np.float64), names[data["labels"]]
    return Task(Path(path).stem, X, y, encoder, "a photo of a {}.")


def from_pictures(name, images, labels, model="mini", pretrained="bundled", cache=None):
    """Pictures through a model, the bundled one by default; `cache` is a folder that keeps their embeddings."""
    from sksemobridge import CLIPImageEncoder, CLIPTextEncoder

    encoder = CLIPImageEncoder(model, pretrained, precision="fp32", cache=cache)
    text_encoder = CLIPTextEncoder(model, pretrained, cache=cache)
    return Task(name, encoder.transform(images).astype(np.float64), labels, text_encoder, "auto")


def emoji(cache=None):
    """The bundled pictures, in the style that the bundled model has not seen."""
    from sksemobridge.datasets import load_emoji

    data = load_emoji()
    return from_pictures("emoji", list(data.images), data.target_names[data.target], cache=cache)


def emoji_finer(cache=None):
    """The bundled pictures of people by what they do or are: artist, biking, elf, ...

    Classes are the names without man, woman or person; those with three pictures or more are taken. Pictures
    that are others mirrored ("facing right") are left out.
    """
    from sksemobridge.datasets import load_emoji

    data = load_emoji()
    what = np.array([re.sub(r"^(man|woman|person|men|women|people)(: | )", "", name) for name in data.names])
    names, code, count = np.unique(what, return_inverse=True, return_counts=True)
    mirrored = np.char.endswith(data.names, ": facing right")
    taken = (count[code] >= 3) & ~mirrored
    return from_pictures("emoji-finer", list(data.images[taken]), what[taken], cache=cache)


def digits(cache=None):
    """scikit-learn's handwritten digits: a task that the bundled model knows nothing of."""
    from sklearn.datasets import load_digits

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
    """Pictures of a user, one sub-folder for each class."""
    from sksemobridge.datasets import load_image_folder

    data = load_image_folder(root)
    labels = data.target_names[data.target]
    return from_pictures(Path(root).resolve().name, list(data.paths), labels, model, pretrained, cache)


def torchvision_dataset(name, root, model="mini", pretrained="bundled", cache=None):
    """The test set of a data set of torchvision, such as `CIFAR10`, found in `root` or downloaded to it."""
    import inspect

    from torchvision import datasets

    kind = getattr(datasets, name, None)
    if not inspect.isclass(kind):
        raise ValueError(f"torchvision has no data set {name!r}; names are those of torchvision.datasets.")
    parameters = inspect.signature(kind).parameters
    options = {"root": root}
    if "download" in parameters:
        options["download"] = True
    options |= {"split": "test"} if "split" in parameters else {}
    options |= {"train": False} if "train" in parameters else {}
    data = kind(**options)
    names = getattr(data, "classes", None)
    if names is None:
        raise ValueError(f"torchvision's {name} has no names of classes (`classes`).")
    images, target = zip(*(data[i] for i in range(len(data))))
    return from_pictures(name, list(images), np.array(names)[list(target)], model, pretrained, cache)


def openmoji(node_modules):
    """The style on which settings were chosen, drawn from npm packages (see `tools/emoji_pictures.py`)."""
    import sys
    from collections import Counter

    sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
    from emoji_pictures import DEVELOPMENT_SET, SUBGROUP_NAMES, read_emoji_once

    rows = read_emoji_once(node_modules, DEVELOPMENT_SET, size=72)
    counts = Counter(row[4] for row in rows)
    rows = [row for row in rows if counts[row[4]] >= 20]
    return from_pictures(
        "openmoji", [row[1] for row in rows], np.array([SUBGROUP_NAMES[row[4]] for row in rows])
    )


def expected_calibration_error(probability, right, bins=15):
    """Mean gap between confidence and accuracy over equal-width bins of confidence."""
    index = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = np.bincount(index, weights=right - probability, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))
