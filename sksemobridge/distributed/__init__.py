"""Large jobs on Ray: embeddings and predictions on several machines.

This needs the extra `ray`. Nothing else in the package imports it.
"""

from ._jobs import JobReport, embed_dataset, predict_dataset
from ._stages import EmbedImages, Predict

__all__ = ["EmbedImages", "JobReport", "Predict", "embed_dataset", "predict_dataset"]
