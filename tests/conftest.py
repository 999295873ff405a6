"""Made-up CLIP embeddings that the tests share."""

import os

import numpy as np
import pytest

# scikit-learn's array_api_dispatch asks for it, before scipy is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

from sksemobridge import PrecomputedTextEncoder  # noqa: E402

NAMES = ["cat", "dog", "bird", "hot dog", "fire truck"]


class World:
    """Five classes whose images and texts live close together in a made-up joint space."""

    def __init__(self, seed=0, d=24, width=16, bias=False, dtype=np.float64):
        rng = np.random.default_rng(seed)
        self.names = sorted(NAMES)
        self.projection = rng.normal(size=(d, width)) / np.sqrt(d)
        self.projection_bias = rng.normal(scale=0.1, size=width) if bias else None
        self.eos = 3 * rng.normal(size=(len(self.names), d))
        self._joint = self.eos @ self.projection + (
            0 if self.projection_bias is None else self.projection_bias
        )
        self._rng, self._dtype = rng, dtype

    def text_encoder(self):
        texts = [f"a photo of a {name}." for name in self.names]
        return PrecomputedTextEncoder(
            texts, self.eos, self.projection, projection_bias=self.projection_bias, logit_scale=20.0
        )

    def draw(self, per_class, noise=1.2):
        """Images `X` and labels `y`; `per_class` is a number or one for each class."""
        counts = np.broadcast_to(per_class, len(self.names))
        codes = np.repeat(np.arange(len(self.names)), counts)
        X = self._joint[codes] + noise * self._rng.normal(size=(len(codes), self._joint.shape[1]))
        order = self._rng.permutation(len(codes))
        return X[order].astype(self._dtype), np.array(self.names)[codes[order]]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def make_world():
    return World


CHECKS = {"test_estimator_checks.py": "scikit-learn's", "test_common.py": "our own"}


def pytest_terminal_summary(terminalreporter):
    """Print how many checks of estimators were made, and how they ended."""
    for file, whose in CHECKS.items():
        counts = {
            outcome: sum(
                getattr(report, "nodeid", "").partition("::")[0].endswith(file)
                for report in terminalreporter.stats.get(outcome, ())
                if getattr(report, "when", "call") == "call" or outcome != "passed"
            )
            for outcome in ("passed", "failed", "error", "skipped")
        }
        if any(counts.values()):
            failed = counts["failed"] + counts["error"]
            terminalreporter.write_line(
                f"Checks of estimators, {whose}: {counts['passed']} passed, {failed} failed, "
                f"{counts['skipped']} skipped."
            )


@pytest.fixture
def passes(monkeypatch):
    """Sizes of the batches that go through the image tower."""
    import open_clip

    sizes, encode = [], open_clip.CLIP.encode_image

    def counting(model, batch, normalize=False):
        sizes.append(len(batch))
        return encode(model, batch, normalize=normalize)

    monkeypatch.setattr(open_clip.CLIP, "encode_image", counting)
    return sizes
