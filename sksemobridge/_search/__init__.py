"""Search by image and by text: the bridge as a transformer, and how good a search is."""

from .bridge import SemanticBridge
from .precision import mean_average_precision

__all__ = ["SemanticBridge", "mean_average_precision"]
