"""Large jobs on Ray: embeddings and predictions on several machines.

This subpackage needs the extra `ray`. Nothing else in the package imports Ray.
"""

from ._job import run_job
from ._steps import EmbedImages, Predict

__all__ = ["EmbedImages", "Predict", "run_job"]
