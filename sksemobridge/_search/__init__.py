"""Search by image and by text: the bridge as a transformer, and how good a search is."""

from .precision import mean_average_precision
from .semantic_bridge import SemanticBridge

__all__ = ["SemanticBridge", "mean_average_precision"]
