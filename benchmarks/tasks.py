"""Tasks of the benchmarks: embeddings with labels, and the texts of their classes.

A file of a task (npz) holds `images (n, D)`, `labels (n,)`, which are numbers of
`class_names (C,)`, and may hold `text (C, D)`, the joint embeddings of the class texts.
`make_task.py` writes more: `model`, `dataset`, `logit_scale`, `part (n,)` of each image ("train",
"val" or "test"), and for the paper's method the text side of the model, `prompts (m,)`,
`prompt_class (m,)`, `eos (m, d)`, `projection (d, D)` and `image_projection (d_image, D)`.
"""

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.preprocessing import normalize

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    PrecomputedTextEncoder,
    ZeroShotClassifier,
)
from sksemobridge.datasets import load_emoji

# A task needs this share of its classes.
MIN_CLASSES = 0.8
# A class needs this many images beyond its shots.
SPARE = 2
FIRST_SEED = 2000
# Tasks of this many classes have fewer draws.
MANY_CLASSES = 150


@dataclass(frozen=True)
class Task:
    """Images to classify, as embeddings.

    Attributes
    ----------
    name, model : str
        The data set, and where its embeddings come from.
    X : ndarray of shape (n, D)
    y : ndarray of shape (n,)
        Labels, which are the names of the classes.
    text_encoder : estimator or None
        Knows the texts of the classes; None where there are none.
    prompts : str or dict
        As `FewShotClassifier` takes them.
    classes : ndarray of shape (C,) or None
        Labels in the order in which shots are drawn, sorted by default.
    texts, text_labels : list of str and ndarray of shape (m,), or None
        Texts to search among, with labels, for `search.py`. By default the prompts.
    image_projection : ndarray of shape (d_image, D) or None
        That of the model, for the search among texts.
    part : ndarray of shape (n,) or None
        "train", "val" or "test": shots are drawn from "train", and queries are "test". Without it,
        all images that are no shots are queries.
    """

    name: str
    model: str
    X: np.ndarray
    y: np.ndarray
    text_encoder: object = None
    prompts: object = "{}"
    classes: np.ndarray | None = None
    part: np.ndarray | None = None
    texts: list | None = None
    text_labels: np.ndarray | None = None
    image_projection: np.ndarray | None = None

    def draw(self, k, seed):
        """Rows of `k` shots of each class, and the rows of the queries of these classes.

        Without parts, classes with fewer than `k + SPARE` images are left out; None where more than
        a fifth of them are. With parts, a class with fewer images gives all of them.
        """
        rng = np.random.default_rng(seed)
        classes = np.unique(self.y) if self.classes is None else self.classes
        if self.part is not None:
            rows = [np.flatnonzero((self.y == c) & (self.part == "train")) for c in classes]
            shots = np.concatenate([rng.permutation(of_class)[:k] for of_class in rows])
            return shots, np.flatnonzero(self.part == "test")
        rows = [np.flatnonzero(self.y == c) for c in classes]
        rows = [of_class for of_class in rows if len(of_class) >= k + SPARE]
        if len(rows) < MIN_CLASSES * len(classes):
            return None
        shuffled = [rng.permutation(of_class) for of_class in rows]
        shots = np.concatenate([of_class[:k] for of_class in shuffled])
        return shots, np.sort(np.concatenate([of_class[k:] for of_class in shuffled]))

    def seeds(self, most=5):
        """Seeds of the draws: five, where there are many classes two."""
        n_draws = 2 if self.part is None and len(np.unique(self.y)) >= MANY_CLASSES else 5
        return range(FIRST_SEED, FIRST_SEED + min(n_draws, most))

    def some_classes(self, size, k, seed):
        """The task with `size` of the classes that have enough images; None if there are fewer."""
        names, counts = np.unique(self.y, return_counts=True)
        names = np.random.default_rng(seed).permutation(names[counts >= k + SPARE])[:size]
        rows = np.isin(self.y, names)
        return (
            replace(self, X=self.X[rows], y=self.y[rows], classes=None)
            if len(names) == size
            else None
        )

    def tested_on(self, other):
        """The task with the images of another task as queries. Its own test images are unused."""
        if self.model != other.model:
            raise SystemExit(
                f"{other.name} is of {other.model}, and {self.name} of {self.model}; both need one"
                " model."
            )
        if unknown := set(other.y) - set(self.y if self.classes is None else self.classes):
            listed = ", ".join(sorted(map(str, unknown))[:5])
            raise SystemExit(f"{other.name} has classes that {self.name} lacks: {listed}.")
        part = np.full(len(self.y), "train") if self.part is None else self.part
        kept = part != "test"
        return replace(
            self,
            name=f"{self.name} to {other.name}",
            X=np.concatenate([self.X[kept], other.X]),
            y=np.concatenate([self.y[kept], other.y]),
            part=np.concatenate([part[kept], np.full(len(other.y), "test")]),
        )

    def without_text(self):
        return replace(self, text_encoder=None)


def from_npz(path):
    """The task of a file."""
    with np.load(path) as file:
        data = dict(file)
    names, X = data["class_names"], data["images"].astype(np.float64)
    encoder, prompts, scale = None, "{}", float(data.get("logit_scale", 100.0))
    if "eos" in data:
        texts, first = np.unique(data["prompts"], return_index=True)
        encoder = PrecomputedTextEncoder(
            texts.tolist(), data["eos"][first], data["projection"], logit_scale=scale
        )
        prompts = {
            name: data["prompts"][data["prompt_class"] == c].tolist()
            for c, name in enumerate(names)
        }
    elif "text" in data:
        # as prompts are written from class names
        texts = [str(name).replace("_", " ") for name in names]
        encoder = PrecomputedTextEncoder(
            texts, data["text"].astype(np.float64), np.eye(X.shape[1]), logit_scale=scale
        )
    name, model = str(data.get("dataset", Path(path).stem)), str(data.get("model", "npz"))
    task = Task(name, model, X, names[data["labels"]], encoder, prompts, names, data.get("part"))
    if "prompt_class" not in data:
        return task
    return replace(
        task,
        texts=data["prompts"].tolist(),
        text_labels=names[data["prompt_class"]],
        image_projection=data.get("image_projection"),
    )


def load(names):
    """The tasks of a command line: `emoji`, `digits`, npz files, and folders of these."""
    tasks = []
    for name in names:
        if name in BUNDLED:
            tasks.append(BUNDLED[name]())
            continue
        paths = sorted(Path(name).glob("*.npz")) if Path(name).is_dir() else [Path(name)]
        if not paths or not paths[0].exists():
            raise SystemExit(
                f"There is no npz file {str(name)!r}. Name npz files, folders, or"
                f" {', '.join(BUNDLED)}."
            )
        tasks += map(from_npz, paths)
    return tasks


def from_pictures(name, images, labels):
    """Pictures through the bundled model."""
    X = CLIPImageEncoder("mini", "bundled", precision="fp32").transform(images).astype(np.float64)
    return Task(name, "mini bundled", X, labels, CLIPTextEncoder("mini", "bundled"), "auto")


def emoji():
    """The bundled pictures, in the style that the bundled model has not seen."""
    data = load_emoji()
    labels = data.target_names[data.target]
    task = from_pictures("emoji", list(data.images), labels)
    return replace(
        task,
        texts=[f"a picture of a {name}." for name in data.names],
        text_labels=labels,
        image_projection=task.text_encoder.image_projection_,
    )


def digits():
    """scikit-learn's handwritten digits, which the bundled model cannot read."""
    data = load_digits()
    pixels = np.round(data.images / 16 * 255).astype(np.uint8)
    names = np.array(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    )
    return from_pictures(
        "digits", list(np.kron(pixels, np.ones((1, 8, 8), dtype=np.uint8))), names[data.target]
    )


BUNDLED = {"emoji": emoji, "digits": digits}


def made_up(n_classes, shots, width, n_queries=0):
    """A task of classes that overlap as real ones do, with texts and a random projection.

    As in real embeddings, all images have a direction in common, features have uneven variances,
    and five classes each are alike, the more so the more shots there are: LogisticRegression is
    right for 75 to 90 % of the queries (part "test").
    """
    rng = np.random.default_rng(0)
    scales = np.arange(1, width + 1) ** -0.425
    axes = (scales / np.linalg.norm(scales))[:, None] * random_rotation(width, rng)

    def drawn(n, length):
        return length * rng.normal(size=(n, width)) @ axes

    own = 0.18 * (shots / 4) ** -0.375
    kinds = drawn(n_classes, 0.32)[np.arange(n_classes) // 5] + drawn(n_classes, own)
    y = np.concatenate(
        [np.repeat(np.arange(n_classes), shots), rng.integers(0, n_classes, n_queries)]
    )
    common, common_of_texts = 0.8 * normalize(rng.normal(size=(2, width)))[:, None]
    X = normalize(common + kinds[y] + drawn(len(y), 0.45)).astype(np.float32)
    texts = common_of_texts + kinds + drawn(n_classes, own)
    projection = rng.normal(size=(width, width)) / np.sqrt(width)
    eos = texts @ np.linalg.pinv(projection, rcond=0.3)
    names = [f"class {code}" for code in range(n_classes)]
    encoder = PrecomputedTextEncoder(names, normalize(eos), projection)
    prompts = {code: [name] for code, name in enumerate(names)}
    part = np.where(np.arange(len(y)) < n_classes * shots, "train", "test")
    return Task("made up", "made up", X, y, encoder, prompts, part=part)


def random_rotation(width, rng):
    return np.linalg.qr(rng.normal(size=(width, width)))[0]


def zero_shot(task, classes=None):
    """The fitted classifier by names alone, by default of all labels."""
    classes = np.unique(task.y) if classes is None else classes
    return ZeroShotClassifier(task.text_encoder, prompts=task.prompts).fit(None, classes)


def without_own_names(vocabulary, class_names):
    """Embeddings of the words of a vocabulary (`texts`, `text`) that do not name a class, however
    written.
    """
    return vocabulary["text"][other_words(vocabulary["texts"], class_names)].astype(np.float64)


def other_words(texts, class_names):
    """Whether each text does not name a class, however written."""
    own = {form for name in class_names for form in _forms(str(name))}
    return np.array(
        [
            not own & _forms(str(text).lower().removeprefix("an ").removeprefix("a "))
            for text in texts
        ]
    )


def _forms(name):
    """The ways to write a name that count as the same: case, `_`, `-`, a leading number, a plural
    s.
    """
    name = name.lower().replace("_", " ").replace("-", " ").strip()
    written = {name, name.lstrip("0123456789").strip()}
    return written | {form.removesuffix("s") for form in written}


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


def table(header, rows, n_left=1):
    """A Markdown table of cells that are text, the first `n_left` columns to the left, the others
    to the right.
    """
    lines = [header, ["---"] * n_left + ["---:"] * (len(header) - n_left), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shots_in_words(k):
    return f"{k} shot" if k == 1 else f"{k} shots"


def parser(description, default=("emoji", "digits"), shots=(1, 2, 4, 8, 16), draws=5, results=None):
    """The arguments that the programs share."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    result.add_argument(
        "--tasks",
        nargs="+",
        default=list(default),
        metavar="TASK",
        help="emoji, digits, npz files or folders",
    )
    result.add_argument("--shots", nargs="+", type=int, default=list(shots), help="of each class")
    result.add_argument("--draws", type=int, default=draws, help="at most, of a task")
    result.add_argument("--jobs", type=int, default=os.cpu_count())
    if results is not None:
        result.add_argument(
            "--results", type=Path, default=Path(results), help="file that keeps the rows"
        )
    return result
