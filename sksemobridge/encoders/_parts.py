"""The parts of a model, in one form for all packages that have models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

from torch import nn


class Encoders(Protocol):
    """The two encoders of a model, as a module of torch like in open_clip.

    A model for images only has no `encode_text`, and None as `logit_scale`.
    """

    visual: Any  # the image encoder, a module
    logit_scale: Any  # the logarithm of the factor of cosines, a tensor of one value

    def encode_image(self, image: Any, normalize: bool = False) -> Any:
        """Embeddings `(n, D)` of inputs `(n, 3, h, w)`, as tensors."""

    def encode_text(self, text: Any, normalize: bool = False) -> Any:
        """Embeddings `(n, D)` of stacked tokens, as tensors."""

    def eval(self) -> Self:
        """Set layers such as dropout to evaluation mode."""

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set whether weights get gradients."""

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or convert the weights."""

    def parameters(self) -> Any:
        """The weights."""

    def buffers(self) -> Any:
        """Numbers that are no weights."""

    def state_dict(self) -> Any:
        """Weights and buffers by their names."""


class TwoEncoders(nn.Module):
    """The `Encoders` of a package that has none in one module."""

    def __init__(self, visual, text=None, logit_scale=None):
        super().__init__()
        self.visual, self.text, self.logit_scale = visual, text, logit_scale

    def encode_image(self, pixels, normalize=False):
        return self.visual(pixels)

    def encode_text(self, tokens, normalize=False):
        return self.text(tokens)


@dataclass
class Parts:
    """A model, and its own preprocessing."""

    encoders: Encoders
    width: int  # `D`
    image_size: tuple[int, int]  # height and width of the pixels
    resize: str  # "shortest", "longest" or "squash"
    interpolation: str
    # Transforms from an image of Pillow to an image of this size. Most begin with torchvision's
    # `Resize`.
    geometry: list
    normalize: Any  # torchvision's `Normalize`
    description: Any  # all that embeddings depend on besides the weights, as JSON
    files: list  # paths of the files with the weights, if known
    # Makes a function that gives the tokens of a text, and whether its end is missing. None for a
    # model without texts.
    make_tokenizer: Callable[[], Callable] | None = None
