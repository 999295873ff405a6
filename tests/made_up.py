"""Made-up CLIP embeddings that the tests share, and what they ask of models."""

import tracemalloc

import numpy as np
import pytest

from sksemobridge import (
    FewShotClassifier,
    PrecomputedTextEncoder,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
)

NAMES = ["cat", "dog", "bird", "hot dog", "fire truck"]
TEMPLATE = "a photo of a {}."


class World:
    """Five classes whose images and texts live close together in a made-up joint space."""

    def __init__(self, seed=0, d=24, width=16, bias=False, dtype=np.float64):
        rng = np.random.default_rng(seed)
        self.names = sorted(NAMES)
        self.projection = rng.normal(size=(d, width)) / np.sqrt(d)
        self.projection_bias = rng.normal(scale=0.1, size=width) if bias else None
        self.eos = 3 * rng.normal(size=(len(self.names), d))
        self._joint = self.eos @ self.projection + (0 if not bias else self.projection_bias)
        self._rng, self._dtype = rng, dtype

    def text_encoder(self):
        return PrecomputedTextEncoder(
            self.texts,
            self.eos,
            self.projection,
            projection_bias=self.projection_bias,
            logit_scale=20.0,
        )

    @property
    def texts(self):
        return [TEMPLATE.format(name) for name in self.names]

    def classifier(self, kind=FewShotClassifier, **params):
        """A classifier that knows the texts, and learns from shots."""
        return kind(self.text_encoder(), prompts=TEMPLATE, **params)

    def zero_shot(self, **params):
        return ZeroShotClassifier(self.text_encoder(), prompts=TEMPLATE, **params)

    def codes(self, y):
        """Labels as numbers, for classifiers without text."""
        return np.searchsorted(self.names, y)

    def draw(self, per_class, noise=1.2):
        """Images `X` and labels `y`; `per_class` is a number or one for each class."""
        counts = np.broadcast_to(per_class, len(self.names))
        codes = np.repeat(np.arange(len(self.names)), counts)
        X = self._joint[codes] + noise * self._rng.normal(size=(len(codes), self._joint.shape[1]))
        order = self._rng.permutation(len(codes))
        return X[order].astype(self._dtype), np.array(self.names)[codes[order]]


# A test whose names mislead on purpose, or say nothing.
misleading_names = pytest.mark.filterwarnings(
    "ignore:The names of the classes are no better than chance",
    "ignore:The shots of .* fit the name of another class better",
)


def every_model(test):
    """A test of both classifiers, and of a trained bridge, by `params` of `World.classifier`."""
    closed_form = {"kind": SeMoBridgeClassifier}
    trained = closed_form | {"solver": "lbfgs", "max_iter": 5}
    models = {"few shots": {}, "closed form": closed_form, "trained": trained}
    test = pytest.mark.filterwarnings("ignore:The bridge did not converge")(test)
    return pytest.mark.parametrize("params", models.values(), ids=models)(test)


def arrays_of(part):
    """All arrays that an object holds."""
    if isinstance(part, np.ndarray):
        yield part
    elif isinstance(part, (list, tuple)):
        for item in part:
            yield from arrays_of(item)
    elif isinstance(part, dict):
        yield from arrays_of(list(part.values()))
    elif hasattr(part, "__dict__"):
        yield from arrays_of(vars(part))


def peak_memory(function):
    """Most bytes that a call takes at a time."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
