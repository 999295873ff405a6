"""Embeddings of texts, by the text encoder of a CLIP model."""

import os
from dataclasses import dataclass
from functools import partial

from .._utils.validation import warn_caller
from ._cache import IN_MEMORY
from ._embedding import Source, embed, from_contents, to_contents
from ._remembered import with_model
from ._shared import CLIPEncoder, TextEncoder
from ._source import ModelSource, refuse_out_of_question


@dataclass(repr=False, eq=False, kw_only=True)
class CLIPTextEncoder(TextEncoder, CLIPEncoder):
    """Embed texts with the text encoder of a CLIP model.

    Parameters
    ----------
    model_name, pretrained, device
        See `CLIPImageEncoder`.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="auto"
        Precision of the computation. Results are float32. `"auto"` is fp32.
    batch_size : int, default=256
        Texts in one forward pass.
    cache : "memory", path or None, default="memory"
        See `CLIPImageEncoder`. Images and texts may share a folder. Texts of a folder are kept in
        memory, too.
    progress : bool, default=False
        Whether to show a progress bar, if embedding takes more than two seconds.

    Attributes
    ----------
    projection_, projection_bias_ : ndarrays of shape (d, D) and (D,)
        `W` and `b_W` of the last linear layer of the text encoder. The bias may be None.
    image_projection_, image_projection_bias_ : ndarrays of shape (d_image, D) and (D,)
        Weight and bias of the last linear layer of the image encoder. An encoder without a last
        linear layer raises `NoProjectionError`.
    logit_scale_ : float
        The factor of cosine similarities before the softmax, as the model has learnt it.

    Examples
    --------
    >>> from sksemobridge import CLIPTextEncoder
    >>> encoder = CLIPTextEncoder("mini", pretrained="bundled")
    >>> encoder.transform(["a red apple", "a green tree"]).shape
    (2, 128)
    """

    # The encoder can embed any text, and thus the words of a vocabulary.
    open_vocabulary = True

    batch_size: int = 256
    cache: str | os.PathLike[str] | None = "memory"
    progress: bool = False

    projection_ = property(lambda self: self._model().projection(for_images=False)[0])
    projection_bias_ = property(lambda self: self._model().projection(for_images=False)[1])
    image_projection_ = property(lambda self: self._model().projection(for_images=True)[0])
    image_projection_bias_ = property(lambda self: self._model().projection(for_images=True)[1])

    @property
    def logit_scale_(self) -> float:
        return with_model(self, False, lambda model: model.logit_scale)

    @property
    def has_text_(self) -> bool:
        """Whether the model has texts, by its name or configuration. Some models embed images
        only.
        """
        loader = ModelSource(self.model_name, None).loader
        if loader.has_text is not None:
            return loader.has_text
        refuse_out_of_question(self.model_name, self.pretrained)
        source = self._source()
        return source.module().has_text(source)

    def _embed(self, texts, project):
        return with_model(self, False, partial(self._embed_with, texts, project))

    def _embed_with(self, texts, project, model):
        # Prompts are few, and the classifier needs exact embeddings of them.
        precision = "fp32" if self.precision == "auto" else self.precision
        encoding = _TextEncoding(model, precision, project)
        rows = self._compute_new(encoding, texts)
        if encoding.cut:
            warn_caller(
                f"{len(encoding.cut)} of {len(texts)} texts are longer than the model reads; their"
                f" ends are cut off. The first is {encoding.cut[0]!r}. Shorten them."
            )
        return rows

    def _compute_new(self, encoding, texts):
        """Embeddings of texts: read from memory or from the folder, or computed."""
        folder = None if self.cache == "memory" else self.cache
        if self.cache is None:
            return self._compute(encoding, texts, folder)
        # Results in memory are kept by folder, so that another folder is filled, too.
        shared = encoding.name(), folder if folder is None else os.path.abspath(folder)
        memory = IN_MEMORY.begin()
        rows = memory.find([(shared, text) for text in texts])
        new = [text for text in dict.fromkeys(texts) if (shared, text) not in rows]
        if new:
            contents = to_contents(self._compute(encoding, new, folder))
            computed = {(shared, text): content for text, content in zip(new, contents)}
            memory.keep(computed)
            rows |= computed
        return from_contents([rows[shared, text] for text in texts], encoding.width)

    def _compute(self, encoding, texts, folder):
        return embed(
            encoding,
            texts,
            cache=folder,
            batch_size=self.batch_size,
            bar_options={
                "desc": f"embedding {len(texts):,} texts",
                "unit": "text",
                "leave": False,
                "disable": not self.progress,
            },
        )[0]


class _TextEncoding:
    """The encoding of texts, for `embed`. `cut` are texts whose end was cut off."""

    refusals = ()

    def __init__(self, model, precision, project):
        self._model, self._precision, self._project = model, precision, project
        self.width = (
            model.embed_dim if project else len(model.loaded().projection(for_images=False)[0])
        )
        self.cut = []

    def digest(self):
        space = "joint" if self._project else "eos"
        return f"text 2 {space} {self._precision} ".encode() + self._model.digest(for_images=False)

    def name(self):
        space = "joint" if self._project else "eos"
        return f"text {space} {self._precision} {self._model.name}".encode()

    def path(self, text):
        return None

    def read(self, text):
        # Cached texts are found without their tokens.
        return Source(text.encode(), partial(self._tokens, text))

    def _tokens(self, text):
        tokens, is_cut = self._model.loaded().tokenize(text)
        if is_cut:
            self.cut.append(text)
        return tokens

    def compute(self, tokens):
        return self._model.embed_tokens(tokens, self._precision, project=self._project)
