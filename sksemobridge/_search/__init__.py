"""Search by image and by text: the bridge as a transformer, and the precision of a search."""

from .precision import mean_average_precision
from .semantic_bridge import SemanticBridge

__all__ = ["SemanticBridge", "mean_average_precision"]
