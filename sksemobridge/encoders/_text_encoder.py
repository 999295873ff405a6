"""Texts to embeddings with the text tower of a CLIP model."""

import hashlib
import os
from numbers import Integral

from sklearn.utils._param_validation import Interval, StrOptions

from ._base import StatelessEncoder
from ._cache import CacheSession
from ._collector import Collector, Item
from ._compute import PRECISIONS, autocast, resolve_text_precision
from ._containers import as_list
from ._forward import FittingForward
from ._image_tower import read_image_projection
from ._models import get_model, read_embed_dim
from ._source import find_source
from ._text_tower import encode_tokens, read_projection, without_projection


class CLIPTextEncoder(StatelessEncoder):
    """Embed texts with the text tower of a CLIP model, in the joint space and before its projection.

    The model is loaded on first use and shared with all encoders of the same model in this process; the
    encoder itself holds nothing but its parameters.

    Parameters
    ----------
    model_name : str, default="ViT-B-16"
        A model of open_clip, or a name with its `hf-hub:` or `local-dir:` scheme; `"mini"` with
        `pretrained="bundled"` is the small model shipped in the package.
    pretrained : str, path or None, default="openai"
        A tag of open_clip or the path of a checkpoint. Ignored for the schemes. With a checkpoint, choose the
        model name by its activation: OpenAI's weights need a name that ends in `-quickgelu`; for tags this is
        seen to.
    device : str, default="auto"
        `"auto"` takes a CUDA GPU where there is one, else the CPU. Resolved on each use, so that an encoder
        may be pickled on one machine and loaded on another.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="auto"
        Of the computation; results are float32. `"auto"` is fp32 here on all devices.
    batch_size : int, default=256
        Texts in one forward pass.
    cache : path or None, default=None
        Directory on a local disk in which embeddings are kept between calls and runs; see `EmbeddingCache`.
        It may be the one of `CLIPImageEncoder`.

    Attributes
    ----------
    projection_ : ndarray of shape (d, D)
        `W`, the last linear layer of the tower.
    projection_bias_ : ndarray of shape (D,) or None
        `b_W`.
    image_projection_ : ndarray of shape (d_image, D)
        The last linear layer of the image tower; `NoProjectionError` where it ends otherwise.
    image_projection_bias_ : ndarray of shape (D,) or None
        Its bias.
    logit_scale_ : float
        The factor that the model learned for cosine similarities before the softmax.

    See Also
    --------
    PrecomputedTextEncoder : The same interface over embeddings computed before.
    CLIPImageEncoder : The image tower.

    Examples
    --------
    >>> from sksemobridge import CLIPTextEncoder
    >>> encoder = CLIPTextEncoder("mini", pretrained="bundled")
    >>> encoder.transform(["a red apple", "a green tree"]).shape
    (2, 128)
    """

    # Any text can be embedded, so that a bridge can be learnt from words.
    open_vocabulary = True

    _parameter_constraints: dict = {
        "model_name": [str],
        "pretrained": [str, os.PathLike, None],
        "device": [str],
        "precision": [StrOptions(set(PRECISIONS))],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "cache": [str, os.PathLike, None],
    }

    def __init__(
        self,
        model_name="ViT-B-16",
        pretrained="openai",
        *,
        device="auto",
        precision="auto",
        batch_size=256,
        cache=None,
    ):
        self.model_name = model_name
        self.pretrained = pretrained
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.cache = cache

    def encode(self, texts):
        """Embeddings before the projection, at the end-of-text token after the final layer norm.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        ndarray of shape (n, d), float32

        Raises
        ------
        NoProjectionError
            If the tower has no linear projection to stop before.
        ModelLoadError
            If the model, its weights or its tokenizer cannot be had.
        """
        return self._run(texts, project=False)

    def transform(self, texts):
        """Embeddings in the joint space of images and texts, not normalised.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        ndarray of shape (n, D), float32

        Raises
        ------
        ModelLoadError
            If the model, its weights or its tokenizer cannot be had.
        """
        return self._run(texts, project=True)

    @property
    def projection_(self):
        weight, _ = read_projection(self._model().model)
        return weight.detach().cpu().numpy().copy()

    @property
    def projection_bias_(self):
        _, bias = read_projection(self._model().model)
        return None if bias is None else bias.detach().cpu().numpy().copy()

    @property
    def image_projection_(self):
        weight, _ = read_image_projection(self._model().model)
        return weight.detach().cpu().numpy().copy()

    @property
    def image_projection_bias_(self):
        _, bias = read_image_projection(self._model().model)
        return None if bias is None else bias.detach().cpu().numpy().copy()

    @property
    def logit_scale_(self):
        return float(self._model().model.logit_scale.detach().exp())

    def _source(self):
        return find_source(self.model_name, self.pretrained)

    def _memo_key(self):
        # What embeddings of texts depend on; a checkpoint that is written anew has another source.
        return self._source(), resolve_text_precision(self.precision)

    def _model(self):
        self._validate_params()
        return get_model(self.model_name, self.pretrained, self.device)

    def _embedding_width(self):
        return read_embed_dim(self.model_name, self.pretrained)

    def _run(self, texts, *, project):
        import torch

        texts = check_texts(texts)
        loaded = self._model()
        # Taken apart before there is anything to encode, so that an empty list meets the same errors.
        width = loaded.embed_dim if project else read_projection(loaded.model)[0].shape[0]
        model = loaded.model if project else without_projection(loaded.model)
        precision = resolve_text_precision(self.precision)

        def forward(tokens):
            with torch.inference_mode(), autocast(precision, loaded.device):
                return encode_tokens(model, tokens.to(loaded.device)).float().cpu()

        fitting = FittingForward(forward, self.batch_size)
        with CacheSession(self.cache) as cache:
            context = f"text {'joint' if project else 'eos'} {precision} ".encode()
            if cache.active:
                context += loaded.text_digest()

            def read(rows):
                for row in rows:
                    tokens = loaded.tokenize([texts[row]])[0].numpy()
                    key = hashlib.sha256(context + tokens.tobytes()).digest()
                    embedding, claimed = cache.find_or_claim(key)
                    yield Item(key, embedding, tokens if claimed else None)

            def compute(tokens):
                return fitting(torch.from_numpy(tokens)).numpy()

            found = Collector(len(texts), width, compute, cache, self.batch_size)
            found.collect(read)
        fitting.warn_if_halved()
        return found.embeddings


def check_texts(texts):
    """A list of str from a sequence of texts.

    Raises
    ------
    ValueError
        If `texts` is one string.
    TypeError
        If an item is not a string; the message says which.
    """
    texts = as_list(texts, "texts")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{position}] is {text!r} ({type(text).__name__}), not a string.")
    return [str(text) for text in texts]
