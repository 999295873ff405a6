"""What the packages that have models give of them, in one form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Towers(Protocol):
    """A module of torch, as the models of open_clip are. Without texts it has only the first two members."""

    visual: Any  # the image tower: all weights that embeddings of images depend on
    logit_scale: Any  # the logarithm of the factor of cosines

    def encode_image(self, pixels: Any, normalize: bool = False) -> Any:
        """Embeddings `(n, D)` of pixels `(n, 3, h, w)`."""

    def encode_text(self, tokens: Any, normalize: bool = False) -> Any:
        """Embeddings `(n, D)` of tokens, as they are stacked."""


@dataclass
class Parts:
    """A model, and its own preprocessing of images and texts."""

    towers: Towers
    width: int  # `D`
    image_size: tuple[int, int]  # height and width of the pixels
    resize: str  # "shortest", "longest" or "squash"
    interpolation: str
    geometry: list  # of transforms from an image of Pillow to one of that size; most begin with torchvision's `Resize`
    normalize: Any  # torchvision's `Normalize`
    description: Any  # in JSON: what embeddings depend on besides the weights
    files: list  # with the weights, where they are known
    # Makes a function that gives the tokens of a text, and whether its end is missing. None: there are no texts.
    make_tokenizer: Callable[[], Callable] | None = None


class Model(Protocol):
    """What encoders of images and of texts, and the export to ONNX, use of a loaded model."""

    source: Any
    device: Any
    model: Towers
    embed_dim: int  # `D`
    has_text: bool
    logit_scale: float  # the factor of cosines before the softmax; `NoTextError` without texts
    n_tokens: int  # of a text, as many as are read
    image_size: tuple[int, int]
    shortest_side: int | None  # to which images are resized; None: do not shrink JPEGs while they are decoded

    def fit(self, image: Any, size: tuple, box: tuple) -> Any:
        """Resize the box of an image, which is a picture of this size, as `crop` resizes the whole picture."""

    def crop(self, image: Any) -> Any:
        """An RGB image of Pillow, of the size that the model takes."""

    def preprocessing(self) -> dict:
        """How an image becomes pixels, in JSON."""

    def embed_images(self, pixels: Any, precision: str) -> Any:
        """Embeddings `(n, D)` of pixels `(n, h, w, 3)`, not normalised."""

    def tokenize(self, text: str) -> tuple:
        """The tokens of a text, and whether its end is missing."""

    def embed_tokens(self, tokens: Any, precision: str, *, project: bool = True) -> Any:
        """Embeddings of stacked tokens: `(n, D)`, or `(n, d)` before the projection."""

    def projection(self, of_images: bool) -> list:
        """Weight `(d, D)` and bias of the last linear layer of a tower; `NoProjectionError` without one."""

    def image_precision(self, precision: str) -> str:
        """The precision that `"auto"` means for images."""

    def digest(self, of_images: bool) -> bytes:
        """Digest of all that embeddings depend on, apart from the content and the precision."""
