"""From texts to embeddings, with the text tower of a CLIP model."""

import os
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._utils.lru import LRUCache
from .._utils.validation import warn_caller
from ._base import CLIPEncoder, TextEncoder
from ._embedding import embed
from ._source import TIMM, TRANSFORMERS

# One item is the embedding of one text, some kilobytes. A search over parameters needs the same texts in every fit:
# 80,000 with 80 prompts for each class of ImageNet.
_known = LRUCache(max_items=100_000)


class CLIPTextEncoder(TextEncoder, CLIPEncoder):
    """Embed texts with the text tower of a CLIP model.

    Parameters
    ----------
    model_name, pretrained, device, cache
        See `CLIPImageEncoder`. Images and texts may share a cache.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="auto"
        Precision of the computation. Results are float32. `"auto"` is fp32.
    batch_size : int, default=256
        Texts in one forward pass.

    Attributes
    ----------
    projection_, projection_bias_ : ndarrays of shape (d, D) and (D,)
        `W` and `b_W` of the last linear layer of the text tower. The bias may be None.
    image_projection_, image_projection_bias_ : ndarrays of shape (d_image, D) and (D,)
        The same for the image tower. A tower without a last linear layer raises `NoProjectionError`.
    logit_scale_ : float
        The factor of cosine similarities before the softmax, as the model has learnt it.

    Examples
    --------
    >>> from sksemobridge import CLIPTextEncoder
    >>> encoder = CLIPTextEncoder("mini", pretrained="bundled")
    >>> encoder.transform(["a red apple", "a green tree"]).shape
    (2, 128)
    """

    # It can embed any text, so also the words of a vocabulary.
    open_vocabulary = True

    def __init__(
        self,
        model_name: str = "ViT-B-16",
        pretrained: str | os.PathLike[str] | None = "openai",
        *,
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        batch_size: int = 256,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        self.model_name = model_name
        self.pretrained = pretrained
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.cache = cache

    @property
    def projection_(self) -> NDArray[Any]:
        return self._model().projection(of_images=False)[0]

    @property
    def projection_bias_(self) -> NDArray[Any] | None:
        return self._model().projection(of_images=False)[1]

    @property
    def image_projection_(self) -> NDArray[Any]:
        return self._model().projection(of_images=True)[0]

    @property
    def image_projection_bias_(self) -> NDArray[Any] | None:
        return self._model().projection(of_images=True)[1]

    @property
    def logit_scale_(self) -> float:
        return self._model().logit_scale

    @property
    def has_text_(self) -> bool:
        """Whether the model has texts, from its name or configuration. Some models embed images only."""
        source = self._source()
        if source.scheme == TRANSFORMERS:
            from ._transformers import has_text

            return has_text(source)
        return source.scheme != TIMM

    def _embed(self, texts, project):
        loaded = self._model()
        # There are few prompts, and the classifier needs exact embeddings of them.
        precision = "fp32" if self.precision == "auto" else self.precision
        tower = _TextTower(loaded, precision, project)
        # Embeddings depend on no more: a changed checkpoint is another source. But another cache is to be filled.
        shared = repr((loaded.source, precision, project, self.cache))
        keys = [(shared, text) for text in texts]
        known = _known.get_many(keys, texts, partial(self._compute, tower))
        cut = [(text, n_tokens) for text, (_, n_tokens) in zip(texts, known) if n_tokens]
        if cut:
            text, n_tokens = cut[0]
            warn_caller(
                f"{len(cut)} of {len(texts)} texts are longer than the {n_tokens} tokens that the model reads; their ends "
                f"are cut off. The first is {text!r}. Shorten them."
            )
        return np.float32([row for row, _ in known]).reshape(len(texts), tower.width)

    def _compute(self, tower, texts):
        """For each text its embedding, and if its end is cut off, how many tokens the model reads, else None."""
        bar_options = {"desc": f"embedding {len(texts):,} texts", "unit": "text", "leave": False}
        embeddings, _ = embed(
            tower, texts, batch_size=self.batch_size, cache=self.cache, bar_options=bar_options
        )
        return [(row, tower.cut.get(text)) for row, text in zip(embeddings, texts)]


@dataclass(frozen=True)
class _Tokens:
    ids: np.ndarray

    @property
    def digest(self):
        return self.ids.tobytes()

    def load(self):
        return self.ids


class _TextTower:
    """The text tower of a model for `embed`. `cut` has the number of tokens read of each text that is too long."""

    def __init__(self, loaded, precision, project):
        self._loaded, self._precision, self._project, self.cut = loaded, precision, project, {}
        self.width = loaded.embed_dim if project else len(loaded.projection(of_images=False)[0])

    def digest(self):
        space = "joint" if self._project else "eos"
        return f"text {space} {self._precision} ".encode() + self._loaded.digest(of_images=False)

    def read(self, text):
        ids, is_cut = self._loaded.tokenize(text)
        if is_cut:
            self.cut[text] = len(ids)
        return _Tokens(ids)

    def compute(self, tokens):
        return self._loaded.embed_tokens(tokens, self._precision, project=self._project)
