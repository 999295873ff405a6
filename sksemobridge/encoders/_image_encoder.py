"""From images to embeddings, with the image tower of a CLIP model."""

import os
from functools import partial
from numbers import Integral
from typing import Any, Literal

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length

from .._utils.array_api import l2_normalize
from .._utils.sklearn import StrOptions, checks_parameters
from ._base import CLIPEncoder, list_images
from ._embedding import embed
from ._pictures import decode, fetch, picture_digest

# Part of the keys in caches, and of the manifests of jobs. Increase it if pictures are read or scaled in another way.
READING_VERSION = 2


class CLIPImageEncoder(CLIPEncoder):
    """Embed images with the image tower of a CLIP model.

    All encoders of one model share it. It is loaded on first use. The guide lists models and kinds of images:
    https://github.com/sksemobridge/sksemobridge/blob/main/docs/models.md

    Parameters
    ----------
    model_name : str, default="ViT-B-16"
        A model of open_clip, `"hf-hub:..."` or `"local-dir:..."`. `"mini"` (`pretrained="bundled"`) needs no network.
    pretrained : str, path or None, default="openai"
        A tag of open_clip, or a checkpoint. For one with OpenAI's weights, the model name must end in `-quickgelu`.
    device : str, default="auto"
        Torch device. `"auto"` is a CUDA GPU if there is one, else the CPU.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="auto"
        Precision of the computation. Results are float32. `"auto"` is bf16 on hardware that has it, fp16 on older GPUs,
        and fp32 otherwise. Image towers of less than 5 million parameters use fp32.
    batch_size : int, default=64
        Images in one forward pass. At most twice as many are in memory.
    n_jobs : int or None, default=None
        Threads that read images while the model computes. None is one thread, and -1 is one for each core.
    cache : path or None, default=None
        Folder on a local disk that keeps embeddings between runs; see `EmbeddingCache`.
    normalize : bool, default=False
        Whether embeddings get unit length.
    on_error : {"raise", "nan"}, default="raise"
        An image that cannot be read raises an error, or gives a row of NaN with a warning.
    progress : bool, default=False
        Whether to show a progress bar.
    output : {"numpy", "torch"}, default="numpy"
        `"torch"` gives tensors on the device of the model.

    Examples
    --------
    >>> import numpy as np
    >>> from sksemobridge import CLIPImageEncoder
    >>> encoder = CLIPImageEncoder("mini", pretrained="bundled")
    >>> images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    >>> encoder.transform(images).shape
    (2, 128)
    """

    _parameter_constraints: dict = {
        **CLIPEncoder._parameter_constraints,
        "n_jobs": [Integral, None],
        "normalize": ["boolean"],
        "on_error": [StrOptions({"raise", "nan"})],
        "progress": ["boolean"],
        "output": [StrOptions({"numpy", "torch"})],
    }

    def __init__(
        self,
        model_name: str = "ViT-B-16",
        pretrained: str | os.PathLike[str] | None = "openai",
        *,
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        batch_size: int = 64,
        n_jobs: int | None = None,
        cache: str | os.PathLike[str] | None = None,
        normalize: bool = False,
        on_error: Literal["raise", "nan"] = "raise",
        progress: bool = False,
        output: Literal["numpy", "torch"] = "numpy",
    ) -> None:
        self.model_name = model_name
        self.pretrained = pretrained
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.cache = cache
        self.normalize = normalize
        self.on_error = on_error
        self.progress = progress
        self.output = output

    def transform(self, X: Any) -> NDArray[Any]:
        """Embed images.

        Parameters
        ----------
        X : list, tuple, array, series or one-column data frame of n images
            Each image is a path, the bytes of a file, an image of Pillow, a file of `fsspec.open`, or a uint8 array of
            shape `(h, w)`, `(h, w, 3)` or `(h, w, 4)`. `(image, box)` is a part of an image, with the box
            `(left, top, right, bottom)` in pixels. A mapping with `"bytes"` and `"path"` is from the package datasets.

        Returns
        -------
        ndarray or torch.Tensor of shape (n, D), float32
            Not normalised unless `normalize=True`.

        Raises
        ------
        ImageReadError
            If an image cannot be read and `on_error="raise"`. The error names its position and source.
        ModelLoadError
            If the model or its weights are missing.
        """
        sources = list_images(X)
        loaded = self._model()
        precision = loaded.image_precision(self.precision)
        prefix = f"image {READING_VERSION} {precision} ".encode()

        def read(source):
            # Cheap part: a digest. Files and bytes stay encoded: `fetch` decodes only images of Pillow, `(image, box)`.
            content = fetch(source)

            def decode_and_crop():
                """Pixels for the model. They are not needed if the cache knows the image."""
                return np.asarray(loaded.crop(decode(content, shortest_side=max(loaded.image_size))))

            return picture_digest(content), decode_and_crop

        embeddings = embed(
            self,
            sources,
            {"desc": "images", "unit": "image", "disable": not self.progress},
            read=read,
            compute=partial(loaded.embed_images, precision=precision),
            width=loaded.embed_dim,
            model_digest=lambda: prefix + loaded.digest(of_images=True),
            n_threads=joblib.effective_n_jobs(self.n_jobs),
            skip_errors=self.on_error == "nan",
        )
        if self.normalize:
            embeddings = l2_normalize(embeddings)
        if self.output == "torch":
            import torch

            tensor: Any = torch.from_numpy(embeddings).to(loaded.device)
            return tensor
        return embeddings

    @checks_parameters
    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Embed images as `transform` does.

        Parameters
        ----------
        X : list, tuple, array, series or one-column data frame of n images
        y : sequence of length n or None
            Only its length is checked, before the work.

        Returns
        -------
        ndarray of shape (n, D), float32
        """
        check_consistent_length(list_images(X), y)
        return self.transform(X)
