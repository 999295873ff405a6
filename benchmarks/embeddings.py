"""Tasks of the benchmarks: embeddings with labels and the text side of their model."""

from dataclasses import dataclass

import numpy as np


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


def from_npz(path, name="npz"):
    """A file with `images`, `labels`, `class_names` and joint-space `text`, one row a class; `W` the identity."""
    from sksemobridge import PrecomputedTextEncoder

    data = np.load(path)
    names = data["class_names"]
    encoder = PrecomputedTextEncoder(
        [f"a photo of a {n}." for n in names], data["text"].astype(np.float64), np.eye(data["text"].shape[1])
    )
    X, y = data["images"].astype(np.float64), names[data["labels"]]
    return Task(name, X, y, encoder, "a photo of a {}.")


def from_pictures(name, images, labels):
    """Pictures through the bundled model."""
    from sksemobridge import CLIPImageEncoder, CLIPTextEncoder

    X = CLIPImageEncoder("mini", "bundled", precision="fp32").transform(images)
    return Task(name, X.astype(np.float64), labels, CLIPTextEncoder("mini", "bundled"), "auto")


def emoji():
    """The bundled pictures, in the style that the bundled model has not seen."""
    from sksemobridge.datasets import load_emoji

    data = load_emoji()
    return from_pictures("emoji", list(data.images), data.target_names[data.target])


def digits():
    """scikit-learn's handwritten digits: a task that the bundled model knows nothing of."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.round(data.images / 16 * 255).astype(np.uint8)
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    return from_pictures(
        "digits", list(np.kron(pixels, np.ones((1, 8, 8), dtype=np.uint8))), names[data.target]
    )


def openmoji(node_modules):
    """The style on which settings were chosen, drawn from npm packages (see `tools/emoji_pictures.py`)."""
    import sys
    from collections import Counter
    from pathlib import Path

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
