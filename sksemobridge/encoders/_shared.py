"""Shared parts of all encoders: loaded models, parameters, and the lists of images and texts that
encoders take.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone

from .._utils.array_api import resolve_device, to_numpy
from .._utils.sklearn import (
    Count,
    LinkedToDocs,
    StrOptions,
    checks_parameters,
    in_output_container,
)
from .._utils.validation import is_missing_value, listed, refuse_masked, warn_caller
from ._cache import IN_MEMORY
from ._decoding import check_pixel_type, describe
from ._heads import ImageReadError
from ._source import find_source, refuse_out_of_question

# Threads that want the same model wait for the one that loads it.
_lock = threading.Lock()


@lru_cache(4)
def _load(source, device):
    # The import of the module takes seconds, since it imports torch.
    from ._loaded_model import LoadedModel

    return LoadedModel(source, device)


def clear_model_cache() -> None:
    """Remove all loaded models, and the embeddings of `cache="memory"`, from memory.

    The next use loads and embeds again.

    Examples
    --------
    >>> from sksemobridge import clear_model_cache
    >>> clear_model_cache()
    """
    _load.cache_clear()
    IN_MEMORY.clear()


class StatelessEncoder(
    LinkedToDocs, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """A transformer that learns nothing. A subclass has `transform`, and `_n_features_out`, the
    width of embeddings.
    """

    @checks_parameters
    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the parameters. An encoder learns nothing.

        Parameters
        ----------
        X, y : ignored

        Returns
        -------
        Self
            The encoder itself.
        """
        return self

    def _get_fitted_attr_html(self, doc_link=""):
        # The HTML display of scikit-learn reads all properties. Reading them would load a model
        # only to show it.
        return {}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class ImageEncoder(StatelessEncoder):
    """Encoder from images to embeddings, by one model or by several.

    A subclass has `on_error`, and `_embed_rows(images, ends_at_problem=False)` for a list of
    images. The method gives embeddings `(n, D)` and a dict from each row without an embedding,
    which is NaN, to the reason. On request the method ends at the first such row.
    """

    on_error: Literal["raise", "nan"]

    def transform(self, X: Any) -> NDArray[Any]:
        """Embed images.

        Parameters
        ----------
        X : list, tuple, array, series or one-column data frame of n images
            Each image is a path, the bytes of a file, an image of Pillow, or a uint8 array of shape
            `(h, w)`, `(h, w, 3)` or `(h, w, 4)`.

        Returns
        -------
        ndarray of shape (n, D), float32
            Not normalised unless `normalize=True`. With several models, each part has unit length.

        Raises
        ------
        ImageReadError
            If an image cannot be read and `on_error="raise"`. The error names its position and
            source.
        ModelLoadError
            If a model or its weights are missing.
        """
        images, raises = list_images(X), self.on_error == "raise"
        embeddings, problems = self._embed_rows(images, ends_at_problem=raises)
        if problems:
            rows = sorted(problems)
            names = [f"{row} ({describe(images[row])})" for row in rows]
            if raises:
                is_missing = np.ndim(images[rows[0]]) == 0 and is_missing_value(images[rows[0]])
                hint = ' With on_error="nan", a missing image has a row of NaN.'
                raise ImageReadError(
                    f"Image {names[0]} cannot be read: {problems[rows[0]]}.{hint * is_missing}"
                )
            warn_caller(
                f"{len(rows)} of {len(images)} images cannot be read and have rows of NaN:"
                f" {listed(names, 3)}. The first: {problems[rows[0]]}."
            )
        return embeddings

    def forget_files(self, paths: Sequence[str]) -> None:
        """Let the next `transform` read these files, even if they seem unchanged.

        A cache in a folder takes a file for unchanged if its size and its times are. Embeddings are
        kept by content, so a file that is the same is not embedded again.

        Parameters
        ----------
        paths : list of str
        """

    def _embed_rows(self, images, ends_at_problem=False):
        raise NotImplementedError


def embed_images(encoder: Any, images: list) -> tuple[Any, dict[int, str]]:
    """Embed images by any transformer, and say why images have no embedding.

    Parameters
    ----------
    encoder : ImageEncoder, or another transformer of images
        Its `on_error` does not matter. Another transformer gives a row of NaN for an image that it
        cannot read.
    images : list of n images

    Returns
    -------
    embeddings : array of shape (n, D)
        In the container that `transform` gives. A row without an embedding is not finite.
    problems : dict
        The reason of each row without an embedding.
    """
    is_ours = isinstance(encoder, ImageEncoder)
    if is_ours and type(encoder).transform is ImageEncoder.transform:
        embeddings, problems = encoder._embed_rows(images)
        embeddings = in_output_container(embeddings, images, encoder)
        otherwise = "its embedding is not finite"
    else:
        # An encoder of a user may derive from one of ours, so the result of its `transform` counts.
        encoder = clone(encoder).set_params(on_error="nan") if is_ours else encoder
        embeddings, problems = encoder.transform(images), {}
        otherwise = "the encoder could not read it"
    is_finite = np.isfinite(np.asarray(embeddings)).all(axis=1)
    return embeddings, dict.fromkeys(np.flatnonzero(~is_finite).tolist(), otherwise) | problems


class TextEncoder(StatelessEncoder):
    """Encoder from texts to embeddings. A subclass has `_embed(texts, project)` for a list of
    str.
    """

    def encode(self, texts: Sequence[str]) -> NDArray[Any]:
        """Embed texts before the projection: at the end-of-text token, after the last layer norm.

        Parameters
        ----------
        texts : sequence of n str

        Returns
        -------
        ndarray of shape (n, d)

        Raises
        ------
        NoProjectionError
            If the text encoder of the model has no linear projection.
        """
        return self._embed(list_texts(texts), project=False)

    def transform(self, texts: Sequence[str]) -> NDArray[Any]:
        """Embed texts in the joint space of images and texts: `eos @ W + b_W`, not normalised.

        Parameters
        ----------
        texts : sequence of n str

        Returns
        -------
        ndarray of shape (n, D)
        """
        return self._embed(list_texts(texts), project=True)


@dataclass(repr=False, eq=False)
class CLIPEncoder(StatelessEncoder):
    """An encoder whose parameters name a CLIP model. All encoders in the process that name the same
    model share it. A subclass has a parameter `cache`, too.
    """

    model_name: str = "ViT-B-16"
    pretrained: str | os.PathLike[str] | None = "openai"
    _: KW_ONLY
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = 64

    _parameter_constraints: ClassVar[dict] = {
        "model_name": [str],
        "pretrained": [str, os.PathLike, None],
        "device": [str],
        "precision": [StrOptions({"auto", "fp32", "bf16", "fp16"})],
        "batch_size": [Count()],
        "cache": [str, os.PathLike, None],
        "progress": ["boolean"],
    }

    def _source(self):
        return find_source(self.model_name, self.pretrained)

    def _model(self):
        """The `LoadedModel`. Raises a `ModelLoadError` if the model or its weights are missing, and
        a `ValueError` if there is no such device.
        """
        self._validate_params()
        refuse_out_of_question(self.model_name, self.pretrained)
        source_and_device = self._source(), resolve_device(self.device)
        with _lock:
            return _load(*source_and_device)

    @property
    def _n_features_out(self):
        source = self._source()
        if source.loader.says_width:
            return source.module().width(source)
        return self._model().embed_dim


def list_images(X):
    """The images that `CLIPImageEncoder` gets, as a list of sources. Raises an error if `X` is no
    list of images.
    """
    X = to_numpy(X)
    refuse_masked(X, "X")
    if not isinstance(X, np.ndarray) or X.dtype.kind not in "uifb":
        return _as_list(X, "image")
    check_pixel_type(X)
    if X.ndim != 4 or X.shape[3] not in (3, 4):
        raise ValueError(
            f"An array of images has the shape (n, h, w, 3); got {X.shape}. Wrap a single image,"
            " or images of several sizes, in a list, and move the channels of (n, 3, h, w) to"
            " the end."
        )
    return list(X)


def list_texts(X):
    """The texts as a list of str. Raises a TypeError for other items, and a ValueError for text
    that is no Unicode.
    """
    texts = _as_list(X, "text")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{position}] is {text!r} ({type(text).__name__}), not a string.")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"texts[{position}] is {text!r}, which cannot be encoded: perhaps a part of the"
                " name of a file that is not UTF-8. Give a text."
            ) from None
    return [str(text) for text in texts]


def _as_list(X, item):
    """The items of a sequence, an array of shape `(n,)` or `(n, 1)`, a series, or a data frame of
    one column.
    """
    if isinstance(X, (str, bytes, bytearray, memoryview, os.PathLike, Image.Image)):
        raise ValueError(f"X is one {item} ({type(X).__name__}), not a list of {item}s: write [X].")
    if hasattr(X, "columns"):
        if len(X.columns) != 1:
            raise ValueError(
                f"The data frame has {len(X.columns)} columns ({listed(X.columns)}); select the one"
                f" with the {item}s, for example in a ColumnTransformer."
            )
        X = X[X.columns[0]]
    if isinstance(X, np.ndarray):
        if X.ndim not in (1, 2) or X.shape[1:] not in ((), (1,)):
            raise ValueError(f"An array of {item}s has the shape (n,) or (n, 1); got {X.shape}.")
        return X.ravel().tolist()
    # Series of polars have only `to_list`, arrays of pandas and Arrow only `tolist`.
    for method in ("to_list", "tolist"):
        if hasattr(X, method):
            return getattr(X, method)()
    if isinstance(X, Sequence):
        return list(X)
    raise TypeError(
        f"X is no list, array, series or one-column data frame of {item}s: {type(X).__name__}."
    )
