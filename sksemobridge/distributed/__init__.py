"""Large jobs on Ray: embeddings and predictions on several machines.

This needs the extra `ray`. Nothing else in the package imports it.
"""

from ._ray import NOT_INSTALLED, share_array

try:
    import pyarrow  # noqa: F401
except ImportError as error:
    raise ImportError(NOT_INSTALLED) from error

from ._jobs import JobReport, embed_dataset, predict_dataset
from ._stages import EmbedImages, Predict

__all__ = [
    "EmbedImages",
    "JobReport",
    "Predict",
    "embed_dataset",
    "predict_dataset",
    "share_array",
]
