"""Large jobs on Ray: embeddings and predictions on several machines.

Needs the extra `ray`; nothing else in the package imports this.
"""

from ._jobs import JobReport, embed_dataset, predict_dataset
from ._ray import share_array
from ._stages import EmbedImages, Predict

__all__ = [
    "EmbedImages",
    "JobReport",
    "Predict",
    "embed_dataset",
    "predict_dataset",
    "share_array",
]
