"""Shots and texts as the paper's room takes them."""

from dataclasses import replace

import numpy as np
from sklearn.preprocessing import normalize

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._model.shots import Shots
from sksemobridge._semobridge.bridge import Bridge
from sksemobridge._semobridge.bridge_options import BridgeOptions
from sksemobridge._semobridge.solvers import Training
from sksemobridge._texts.encode import ClassTexts, read_texts

from ..made_up import World


def bridge_options(solver="closed_form", **params):
    """The options of an estimator with these parameters."""
    return BridgeOptions.of(SeMoBridgeClassifier(solver=solver, **params).get_params(deep=False))


def make_training(options, **problem):
    """The `Training` of `BridgeOptions` on parts of a problem."""
    return Training(options.trained_by, options=options.training, **problem)


def make_shots(X, codes, group=None):
    """Shots sorted by class, of weight one. By default each shot is an image."""
    group = np.arange(len(codes)) if group is None else group
    order = np.argsort(codes, kind="stable")
    return Shots(X[order], codes[order], np.ones(len(codes)), group[order])


def make_texts(**params):
    """Texts of a made-up model, one for each of five classes."""
    world = World(**params)
    return read_texts(world.text_encoder(), [[text] for text in world.texts], for_bridge=True)


def without_some_texts(has_text):
    """Five texts, of which some are missing: these classes have the mean of the others."""
    texts, has_text = make_texts(), np.array(has_text)
    embeddings = texts.embeddings.copy()
    embeddings[~has_text] = embeddings[has_text].mean(axis=0)
    return replace(texts, embeddings=embeddings, has_text=has_text)


def draw(texts, per_class, noise=0.2, seed=1):
    """Embeddings near the texts, and their classes. `per_class` is a number, or one a class."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(
        np.arange(len(texts.embeddings)), np.broadcast_to(per_class, len(texts.embeddings))
    )
    X = texts.embeddings[codes] + noise * rng.normal(size=(len(codes), texts.embeddings.shape[1]))
    return 5 * X, codes


def make_problem(
    n_classes=4, shots=3, D=24, d=16, *, identity=False, bias=False, text=True, seed=0
):
    """Parts of a `Training`, in float64. Lengths and numbers of shots vary."""
    rng = np.random.default_rng(seed)
    d = D if identity else d
    codes = np.repeat(np.arange(n_classes), shots)
    codes = np.concatenate([codes, codes[-1:]])
    means = rng.normal(size=(n_classes, D))
    X = (means[codes] + 0.7 * rng.normal(size=(len(codes), D))) * rng.uniform(
        0.5, 3, size=(len(codes), 1)
    )
    projection = None if identity else rng.normal(size=(d, D)) / np.sqrt(D)
    matrix = np.eye(D) if identity else Bridge.closed_form(projection).matrix.copy()
    eos = (means + rng.normal(size=means.shape)) @ matrix
    projection_bias = 0.3 * rng.normal(size=D) if bias else None
    joint = (eos if identity else eos @ projection) + (projection_bias if bias else 0)
    return {
        "X": X,
        "codes": codes,
        "share": 1 / np.bincount(codes)[codes],
        "bridge": Bridge(matrix, projection, projection_bias, 2.5),
        "texts": ClassTexts(
            normalize(joint) if text else None,
            logit_scale=20.0,
            eos_directions=normalize(eos) if text else None,
        ),
    }
