"""The method of the paper as one that the classifier can use in place of its default
(`_model/method.py`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._model.fit import FitResult
from .._utils.array_api import astype
from .._utils.validation import warn_caller
from .model import fit_paper
from .parameters import PaperBlend, Training

# In the paper, a row counts by its length. Rows of one model differ less than this.
MOST_LENGTHS = 3.0


@dataclass(frozen=True)
class PaperMethod:
    """Fits a `PaperModel`. The parameters are those of `SeMoBridgeClassifier`."""

    blend: PaperBlend
    vocabulary: Any
    solver: Any
    label_noise: Any
    store_held_out: bool

    is_linear = False
    reads_projection = True

    @property
    def training(self):
        """`Training`, or None in closed form."""
        if self.solver == "closed_form":
            return None
        return self.solver if isinstance(self.solver, Training) else Training(self.solver)

    def check(self):
        """Refuse parameters that exclude each other."""
        self.blend._validate_params()
        if self.training is not None:
            self.training._validate_params()
        for name, is_set in (
            ("store_held_out", self.store_held_out),
            ("label_noise", self.label_noise not in ("auto", 0)),
            ("vocabulary", self.vocabulary is not None and not isinstance(self.vocabulary, str)),
        ):
            if is_set:
                raise ValueError(
                    f'{name} needs blend="auto": the paper\'s classifier does not use it.'
                )

    def join_copies(self, memory):
        """The memory as it is: the paper takes each shot for an image."""
        return memory

    def fit(self, shots, texts, labels):
        """The `FitResult` of `Shots` and `ClassTexts`. All labels are trusted."""
        lengths = np.linalg.norm(shots.X[shots.X.any(axis=1)].astype(np.float64), axis=1)
        if lengths.max(initial=0) > MOST_LENGTHS * lengths.min(initial=np.inf):
            warn_caller(
                f"The rows of X have lengths from {lengths.min():.3g} to {lengths.max():.3g}. In"
                " the method of the paper, longer rows count more.",
                advice=(
                    "Embed all images with one model, or divide each row by its length:"
                    " sklearn.preprocessing.normalize(X)."
                ),
            )
        model = fit_paper(shots, texts.take(slice(len(labels))), self.blend, self.training)
        return FitResult(astype(model, shots.X.dtype), *np.ones((2, len(shots.codes))))
