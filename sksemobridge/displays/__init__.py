"""Plots that explain, in the manner of scikit-learn's displays."""

from ._predictions import PredictionsDisplay

__all__ = ["PredictionsDisplay"]
