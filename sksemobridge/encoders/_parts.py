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
    # Makes a function that gives the tokens of a text, and whether its end is missing. None: there are no texts.
    make_tokenizer: Callable[[], Callable] | None = None
