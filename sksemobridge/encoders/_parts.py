"""What the packages that have models give of one, in one form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

from torch import nn


class Encoders(Protocol):
    """The two encoders of a model, a module of torch as those of open_clip.

    A model for images only has no `encode_text`, and None as `logit_scale`.
    """

    visual: Any  # the image encoder, a module
    logit_scale: Any  # the logarithm of the factor of cosines, a tensor of one value

    def encode_image(self, image: Any, normalize: bool = False) -> Any:
        """Embeddings `(n, D)` of inputs `(n, 3, h, w)`, as tensors."""

    def encode_text(self, text: Any, normalize: bool = False) -> Any:
        """Embeddings `(n, D)` of stacked tokens, as tensors."""

    def eval(self) -> Self:
        """Set layers such as dropout to what they do after training."""

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say whether weights get gradients."""

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
    # of transforms from an image of Pillow to one of that size; most begin with torchvision's
    # `Resize`
    geometry: list
    normalize: Any  # torchvision's `Normalize`
    description: Any  # in JSON: what embeddings depend on besides the weights
    files: list  # with the weights, where they are known
    # Makes a function that gives the tokens of a text, and whether its end is missing. None: there
    # are no texts.
    make_tokenizer: Callable[[], Callable] | None = None
