"""Plots that explain, in the manner of scikit-learn's displays."""

from ._modality_gap import ModalityGapDisplay
from ._predictions import PredictionsDisplay

__all__ = ["ModalityGapDisplay", "PredictionsDisplay"]
