"""From texts to embeddings, with the text tower of a CLIP model."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from .._utils.lru import LRUCache
from .._utils.validation import warn_caller
from ._base import CLIPEncoder, TextEncoder
from ._embedding import Source, embed
from ._known import with_model
from ._source import TIMM, TRANSFORMERS

# One item is the embedding of one text, some kilobytes. A search over parameters needs the same
# texts in every fit: 80,000 with 80 prompts for each class of ImageNet.
_known = LRUCache(max_size=100_000)


@dataclass(repr=False, eq=False, kw_only=True)
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
        The same for the image tower. A tower without a last linear layer raises
        `NoProjectionError`.
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

    batch_size: int = 256

    projection_ = property(lambda self: self._model().projection(for_images=False)[0])
    projection_bias_ = property(lambda self: self._model().projection(for_images=False)[1])
    image_projection_ = property(lambda self: self._model().projection(for_images=True)[0])
    image_projection_bias_ = property(lambda self: self._model().projection(for_images=True)[1])

    @property
    def logit_scale_(self) -> float:
        return with_model(self, False, lambda model: model.logit_scale)

    @property
    def has_text_(self) -> bool:
        """Whether the model has texts, from its name or configuration. Some models embed images
        only.
        """
        if self.model_name.startswith(TRANSFORMERS):
            from ._other_packages import has_text

            return has_text(self._source())
        return not self.model_name.startswith(TIMM)

    def _embed(self, texts, project):
        return with_model(self, False, partial(self._embed_with, texts, project))

    def _embed_with(self, texts, project, model):
        # There are few prompts, and the classifier needs exact embeddings of them.
        precision = "fp32" if self.precision == "auto" else self.precision
        tower = _TextTower(model, precision, project)
        # Embeddings depend on no more: a changed checkpoint is another source. But another cache is
        # to be filled.
        shared = repr((model.source, precision, project, self.cache))
        rows = _known.get_many(
            [(shared, text) for text in texts], texts, partial(self._compute, tower)
        )
        if tower.cut:
            warn_caller(
                f"{len(tower.cut)} of {len(texts)} texts are longer than the model reads; their"
                f" ends are cut off. The first is {tower.cut[0]!r}. Shorten them."
            )
        return np.float32(rows).reshape(len(texts), tower.width)

    def _compute(self, tower, texts):
        bar_options = {"desc": f"embedding {len(texts):,} texts", "unit": "text", "leave": False}
        return embed(
            tower, texts, batch_size=self.batch_size, cache=self.cache, bar_options=bar_options
        )[0]


class _TextTower:
    """The text tower of a model for `embed`. `cut` are the texts whose end was cut off."""

    refusals = ()

    def __init__(self, model, precision, project):
        self._model, self._precision, self._project = model, precision, project
        self.width = model.embed_dim if project else len(model.projection(for_images=False)[0])
        self.cut = []

    def digest(self):
        space = "joint" if self._project else "eos"
        return f"text 2 {space} {self._precision} ".encode() + self._model.digest(for_images=False)

    def read(self, text):
        # Known texts are found without their tokens.
        return Source(text.encode(), partial(self._tokens, text))

    def _tokens(self, text):
        tokens, is_cut = self._model.tokenize(text)
        if is_cut:
            self.cut.append(text)
        return tokens

    def compute(self, tokens):
        return self._model.embed_tokens(tokens, self._precision, project=self._project)
