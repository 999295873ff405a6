"""Shots and texts as the paper's room takes them."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.preprocessing import normalize

from sksemobridge._paper.bridge import Bridge


@dataclass(frozen=True)
class Shots:
    X: np.ndarray
    codes: np.ndarray
    weight: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, X, codes, weight=None, group=None):
        """Sorted by class; by default each shot is an image, of weight one."""
        n = len(codes)
        parts = X, codes, np.ones(n) if weight is None else weight, np.arange(n) if group is None else group
        order = np.argsort(codes, kind="stable")
        return cls(*(np.asarray(part)[order] for part in parts))


@dataclass(frozen=True)
class ClassTexts:
    embeddings: np.ndarray | None = None
    eos_directions: np.ndarray | None = None
    projection: np.ndarray | None = None
    projection_bias: np.ndarray | None = None
    text_length: float = 1.0
    logit_scale: float = 100.0

    def take(self, classes):
        """The same of some classes."""
        return replace(self, embeddings=self.embeddings[classes], eos_directions=self.eos_directions[classes])

    @classmethod
    def of(cls, eos, projection, projection_bias=None, logit_scale=100.0):
        """From the embeddings `eos (C, p, d)` of `p` prompts of each class."""
        joint = eos @ projection + (0 if projection_bias is None else projection_bias)
        embeddings, directions = (unit(unit(rows).mean(axis=1)) for rows in (joint, eos))
        length = float(np.linalg.norm(eos.mean(axis=1), axis=1).mean())
        return cls(embeddings, directions, projection, projection_bias, length, logit_scale)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def make_texts(n_classes=5, d=24, width=16, bias=False, seed=0):
    """Texts of a made-up model."""
    rng = np.random.default_rng(seed)
    projection = rng.normal(size=(d, width)) / np.sqrt(d)
    eos = 3 * rng.normal(size=(n_classes, 1, d))
    return ClassTexts.of(
        eos, projection, rng.normal(scale=0.1, size=width) if bias else None, logit_scale=20.0
    )


def draw(texts, per_class, noise=0.2, seed=1):
    """Embeddings near the texts and their classes; `per_class` is a number or one for each class."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(texts.embeddings)), np.broadcast_to(per_class, len(texts.embeddings)))
    X = texts.embeddings[codes] + noise * rng.normal(size=(len(codes), texts.embeddings.shape[1]))
    return 5 * X, codes


def make_problem(n_classes=4, shots=3, D=24, d=16, *, identity=False, bias=False, text=True, seed=0):
    """What `train_bridge` takes, in float64; embeddings have various lengths, classes various numbers of shots."""
    rng = np.random.default_rng(seed)
    d = D if identity else d
    codes = np.repeat(np.arange(n_classes), shots)
    codes = np.concatenate([codes, codes[-1:]])
    means = rng.normal(size=(n_classes, D))
    X = (means[codes] + 0.7 * rng.normal(size=(len(codes), D))) * rng.uniform(0.5, 3, size=(len(codes), 1))
    projection = None if identity else rng.normal(size=(d, D)) / np.sqrt(D)
    matrix = np.eye(D) if identity else Bridge.closed_form(projection).matrix.copy()
    eos = (means + rng.normal(size=means.shape)) @ matrix
    projection_bias = 0.3 * rng.normal(size=D) if bias else None
    joint = (eos if identity else eos @ projection) + (projection_bias if bias else 0)
    return {
        "X": X,
        "codes": codes,
        "weight_in_class": weight_of(codes),
        "bridge": Bridge(matrix, projection, projection_bias, 2.5),
        "texts": ClassTexts(normalize(joint), normalize(eos), logit_scale=20.0)
        if text
        else ClassTexts(logit_scale=20.0),
    }


def weight_of(codes):
    """Weights of shots that count alike, which sum to one in each class."""
    return 1 / np.bincount(codes)[codes]
