"""Embeddings of images, by the image encoder of a CLIP model."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Literal

import joblib
import numpy as np

from .._utils.array_api import l2_normalize
from .._utils.sklearn import StrOptions
from .._utils.validation import warn_caller
from ._decoding import (
    ImageReadError,
    UnknownDepthError,
    decode,
    fetch,
    has_unknown_depth,
    image_digest,
    open_image,
)
from ._depth import DEPTHS
from ._embedding import Source, embed
from ._file_index import forget_files
from ._remembered import with_model
from ._shared import CLIPEncoder, ImageEncoder

# Part of the keys in caches, and of the manifests of jobs. Increase it if images are read or
# scaled in another way.
READING_VERSION = 4


@dataclass(repr=False, eq=False, kw_only=True)
class CLIPImageEncoder(CLIPEncoder, ImageEncoder):
    """Embed images with the image encoder of a CLIP model.

    All encoders with the same model share the loaded model. The model is loaded on first use.

    Parameters
    ----------
    model_name : str, default="ViT-B-16"
        A model of open_clip, `"hf-hub:..."`, `"local-dir:..."`, `"transformers:..."` or
        `"timm:..."`. `"mini"` (`pretrained="bundled"`) needs no network.
    pretrained : str, path or None, default="openai"
        A tag of open_clip, `"auto"` for the only tag, or for the best documented one, or a
        checkpoint. For a checkpoint with OpenAI's weights, the model name must end in `-quickgelu`.
    device : str, default="auto"
        Torch device. `"auto"` is a CUDA GPU if there is one, else the CPU.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="auto"
        Precision of the computation. Results are float32. `"auto"` is bf16 on hardware that has it,
        fp16 on older GPUs, and fp32 otherwise. Image encoders of less than 5 million parameters use
        fp32.
    batch_size : int, default=64
        Images in one forward pass. At most twice as many images are in memory.
    n_jobs : int or None, default=None
        Threads that read images while the model computes. None is one thread, and -1 is one for
        each core.
    cache : "memory", path or None, default="memory"
        Place that keeps embeddings, by the content of the images. `"memory"` keeps them in this
        process, in at most 256 MB, so that a search embeds each image once. A path keeps them in a
        folder on a local disk, also for later runs, until you delete the folder. None keeps
        nothing. A folder with the name memory is `Path("memory")`.
    normalize : bool, default=False
        Whether embeddings get unit length.
    on_error : {"raise", "nan"}, default="raise"
        An image that cannot be read raises an error, or gives a row of NaN with a warning.
    progress : bool, default=False
        Whether to show a progress bar.

    Examples
    --------
    >>> import numpy as np
    >>> from sksemobridge import CLIPImageEncoder
    >>> encoder = CLIPImageEncoder("mini", pretrained="bundled")
    >>> images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    >>> encoder.transform(images).shape
    (2, 128)
    """

    _parameter_constraints = {
        **CLIPEncoder._parameter_constraints,
        "n_jobs": [Integral, None],
        "normalize": ["boolean"],
        "on_error": [StrOptions({"raise", "nan"})],
    }

    n_jobs: int | None = None
    cache: str | os.PathLike[str] | None = "memory"
    normalize: bool = False
    on_error: Literal["raise", "nan"] = "raise"
    progress: bool = False

    def forget_files(self, paths: Sequence[str]) -> None:
        if self.cache not in (None, "memory"):
            forget_files(self.cache, list(paths))

    forget_files.__doc__ = ImageEncoder.forget_files.__doc__

    def _embed_rows(self, images, ends_at_problem=False):
        use = partial(self._embed_with, images, ends_at_problem)
        embeddings, problems = with_model(self, True, use)
        return l2_normalize(embeddings) if self.normalize else embeddings, problems

    def _embed_with(self, images, ends_at_problem, model):
        precision = model.image_precision(self.precision)
        options = {
            "cache": self.cache,
            "batch_size": self.batch_size,
            "bar_options": {"desc": "images", "unit": "image", "disable": not self.progress},
            "n_threads": joblib.effective_n_jobs(self.n_jobs),
            "ends_at": ImageReadError if ends_at_problem else None,
        }
        embeddings, refused = embed(_ImageEncoding(model, precision), images, **options)
        problems = {row: why.reason for row, why in refused.items() if why.kind is ImageReadError}
        # All images that do not say their depth get the same one, so that images of one camera stay
        # comparable.
        unknown = [row for row in refused if row not in problems]
        if unknown and not (problems and ends_at_problem):
            bits = max(refused[row].reason for row in unknown)
            encoding = _ImageEncoding(model, precision, bits)
            embeddings[unknown], more = embed(encoding, [images[row] for row in unknown], **options)
            problems |= {unknown[i]: why.reason for i, why in more.items()}
            if bits < max(DEPTHS):
                warn_caller(
                    f"{len(unknown)} of {len(images)} images have 16 bits and do not say how many"
                    f" they use. Their values need {bits}, so that is the full range of all of"
                    " them."
                )
        return embeddings, problems


class _ImageEncoding:
    """The encoding of images, for `embed`. Images of 16 bits that do not say their depth have
    `bits`, or are refused.
    """

    refusals = ImageReadError, UnknownDepthError

    def __init__(self, model, precision, bits=None):
        self._model, self._precision, self._bits = model, precision, bits
        self.width = model.embed_dim

    def digest(self):
        return f"image {READING_VERSION} {self._precision} ".encode() + self._model.digest(
            for_images=True
        )

    def name(self):
        return f"image {self._precision} {self._model.name}".encode()

    def path(self, image):
        return image if isinstance(image, (str, os.PathLike)) else None

    def read(self, image):
        content = fetch(image, self._choose)
        is_unknown = has_unknown_depth(content)
        if is_unknown and self._bits is None:
            decode(content, choose=self._choose)
        digest = image_digest(content) + (bytes([self._bits]) if is_unknown else b"")
        return Source(digest, partial(self._pixels, content), is_of_content=not is_unknown)

    def _choose(self, needed):
        if self._bits is None:
            raise UnknownDepthError(needed)
        return max(self._bits, needed)

    def _pixels(self, content):
        if isinstance(content, bytes):
            # Refuse a file that is no image before the model is needed, which may not be loaded
            # yet.
            open_image(io.BytesIO(content)).close()
        model = self._model.loaded()
        image = decode(content, model.shortest_side, model.resize_box, self._choose)
        return np.asarray(model.crop(image))

    def compute(self, pixels):
        return self._model.embed_images(pixels, self._precision)
