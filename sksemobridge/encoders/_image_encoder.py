"""Images to embeddings with the image tower of a CLIP model."""

import hashlib
import os
from contextlib import contextmanager
from functools import partial
from numbers import Integral
from typing import Any, Literal

import joblib
import numpy as np
from numpy.typing import NDArray

from .._utils.callbacks import CallbackSupportMixin, OfThisThread, fit_task
from .._utils.sklearn import StrOptions, checks_parameters
from .._utils.validation import warn_caller
from ._base import CLIPEncoder, list_images
from ._cache import CacheSession
from ._embedding import Reader, Reading, embed, read_ahead
from ._models import resolve_image_precision
from ._pictures import ImageReadError, decode, describe, fetch, picture_digest

# Part of the keys of the cache. Raise it when pictures are read or scaled in another way.
_READING = 2

# A search calls `transform` hundreds of times, and cached images need no bar.
_BAR_AFTER_SECONDS = 1


class CLIPImageEncoder(CallbackSupportMixin, CLIPEncoder):
    """Embed images with the image tower of a CLIP model.

    Images are read as people see them: upright, the first frame of an animation, on white where they are transparent.
    The model is loaded on first use and shared with all encoders of the same model in this process.

    Parameters
    ----------
    model_name : str, default="ViT-B-16"
        A model of open_clip, or a name with its `hf-hub:` or `local-dir:` scheme; `"mini"` with
        `pretrained="bundled"` is the small model in the package.
    pretrained : str, path or None, default="openai"
        A tag of open_clip or a checkpoint; ignored for the schemes. A checkpoint of OpenAI's weights needs a model name
        that ends in `-quickgelu`.
    device : str, default="auto"
        `"auto"` takes a CUDA GPU where there is one, else the CPU, on each use.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="auto"
        Of the computation; results are float32. `"auto"` is bf16 where the CPU or GPU computes in it natively, fp16 on
        older GPUs, else fp32; always fp32 for image towers of less than 5 million parameters.
    batch_size : int, default=64
        Images in one forward pass; at most twice as many decoded images are in memory.
    n_jobs : int or None, default=None
        Threads that read images while the model computes, as in joblib: `None` is one, -1 one for each core.
    cache : path or None, default=None
        Directory on a local disk that keeps embeddings between runs; see `EmbeddingCache`.
    normalize : bool, default=False
        Whether to scale embeddings to unit length.
    on_error : {"raise", "nan"}, default="raise"
        Whether an image that cannot be read is an error that names it, or a row of NaN and a warning.
    progress : bool, default=False
        Whether to show a bar if `transform` takes more than a second. scikit-learn's callbacks (`set_callbacks`) are
        called after each batch of `fit_transform`.
    output : {"numpy", "torch"}, default="numpy"
        Whether `transform` gives an array, or a tensor on the device of the model.

    See Also
    --------
    CLIPTextEncoder : The text tower.
    sksemobridge.datasets.load_image_folder : Paths and labels of a folder with one sub-folder per class.

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

    # `fit_transform` sets it for its call of `transform`.
    _batch_done = OfThisThread()

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
            Each a path, encoded bytes, an image of Pillow or uint8 pixels of shape `(h, w)`, `(h, w, 3)` or
            `(h, w, 4)`; or one uint8 array of shape `(n, h, w, 3)`. Also `(image, box)` for the part of an image in the
            box `(left, top, right, bottom)`, in pixels, a file of `fsspec.open`, and a mapping with `"bytes"` and
            `"path"`, as `datasets.Image(decode=False)` gives it.

        Returns
        -------
        ndarray of shape (n, D), float32
            Of unit length only with `normalize=True`; a `torch.Tensor` with `output="torch"`.

        Raises
        ------
        ImageReadError
            If an image cannot be read and `on_error="raise"`; names its position and source.
        ModelLoadError
            If the model or its weights are missing.
        """
        sources = list_images(X)
        loaded = self._model()
        precision = resolve_image_precision(self.precision, loaded.device, loaded.n_image_parameters)
        with CacheSession(self.cache) as cache, self._progress(len(sources)) as advance:
            # Without a cache, keys need only differ within this call.
            context = b"image %d %s " % (_READING, precision.encode())
            context += loaded.image_digest() if cache.active else b""
            read = partial(self._read, Reader(cache), context, loaded)
            embeddings, errors = embed(
                read_ahead(read, sources, self.batch_size, joblib.effective_n_jobs(self.n_jobs)),
                len(sources),
                loaded.embed_dim,
                partial(loaded.embed_images, precision=precision),
                cache,
                batch_size=self.batch_size,
                device=loaded.device if self.output == "torch" else "cpu",
                advance=advance,
            )
        if errors:
            _warn_of_errors(sources, errors)
        if self.normalize:
            lengths = embeddings.norm(dim=1, keepdim=True)
            embeddings /= lengths.where(lengths > 0, 1)
        return embeddings.numpy() if self.output == "numpy" else embeddings

    @checks_parameters
    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """The result of `transform`. Callbacks of scikit-learn are called after every `batch_size` images.

        Parameters
        ----------
        X : list, tuple, array, series or one-column data frame of n images
        y : ignored

        Returns
        -------
        ndarray of shape (n, D), float32
        """
        n_batches = -(-len(list_images(X)) // self.batch_size)
        with fit_task(self, X, y, n_batches, "batch") as self._batch_done:
            try:
                return self.transform(X)  # also that of a subclass
            finally:
                del self._batch_done

    def _read(self, reader, context, loaded, row, source):
        """The `Reading` of one image. Threads read while the model computes."""
        # Two threads must not read one image object at once.
        name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else id(source)
        if (first := reader.find_equal(row, name)) is not None:
            return Reading(same_as=first)
        try:
            content = fetch(source)
            key = hashlib.sha256(context + picture_digest(content)).digest()
            # At the size of the model's input.
            shortest_side = max(loaded.image_size)
            return reader.read(row, key, lambda: np.asarray(loaded.crop(decode(content, shortest_side))))
        except ImageReadError as error:
            if self.on_error == "raise":
                message = f"Image {row} ({describe(source)}) cannot be read: {error}."
                raise ImageReadError(message) from error
            return Reading(error=error)

    @contextmanager
    def _progress(self, n_images):
        """A function to call with a number of images that are done. It moves the bar, and calls callbacks after batches."""
        from tqdm.auto import tqdm

        n_done, batch_done = 0, getattr(self, "_batch_done", None)
        with tqdm(
            total=n_images, desc="images", unit="image", delay=_BAR_AFTER_SECONDS, disable=not self.progress
        ) as bar:

            def advance(n):
                nonlocal n_done
                bar.update(n)
                before, n_done = n_done, n_done + n
                if batch_done is not None:
                    for _ in range(-(-n_done // self.batch_size) - -(-before // self.batch_size)):
                        batch_done()

            yield advance


def _warn_of_errors(sources, errors):
    named = "; ".join(f"{row} ({describe(sources[row])})" for row in sorted(errors)[:3])
    warn_caller(
        f"{len(errors)} of {len(sources)} images cannot be read and have rows of NaN: {named}"
        f"{'; ...' if len(errors) > 3 else ''}. The first: {errors[min(errors)]}.",
    )
