"""A loaded model: crop, forward pass, tokens and precision. This module imports torch, unlike the
encoders.
"""

import copy
import hashlib
import json
import threading
from contextlib import nullcontext

import torch
from PIL.Image import Resampling
from torchvision.transforms import Compose, Resize

from .._utils.threads import on_all_cores, threads_for
from ._heads import check_size
from ._hub import asking_hub_of
from ._projections import (
    copy_of_modules,
    read_image_projection,
    read_text_projection,
    without_projection,
)
from ._source import NoTextError

# An image encoder with fewer parameters is small. Encoders of released models have more, and the
# encoder of the bundled model has 2.2 million.
SMALL_ENCODER = 5_000_000
# An image encoder uses each weight about this often: once for each patch, as ViT-B/32.
PATCHES = 50

# A text whose tokens tell tokenizers apart.
_PROBE = "Two cats' photos, 3.5 m: É, 猫, naïve ☂."


class LoadedModel:
    """A model that encoders share, in float32 and evaluation mode, without gradients. The model
    never changes.
    """

    def __init__(self, source, device):
        with asking_hub_of(source):
            parts = source.load()
        model = parts.encoders.eval().requires_grad_(False).to(device, torch.float32)
        if device.type == "cuda":
            model.visual.to(memory_format=torch.channels_last)
        self.source, self.device, self.model = source, device, model
        # The name includes digests of files, since a changed checkpoint is another source.
        self.name = f"{source!r} on {device}"
        self.embed_dim, self.image_size, self.files = parts.width, parts.image_size, parts.files
        self._parts, self._resize = parts, parts.geometry[0]
        # The model's own preprocessing in two parts: `crop` for one image, `as_input` for a batch
        # on the device.
        self._geometry = Compose(parts.geometry)
        # Length of the shortest side of resized images. None for models that resize in another way:
        # JPEGs are then not shrunk.
        self.shortest_side = None
        if isinstance(self._resize, Resize):
            size = self._resize.size
            self.shortest_side = size if isinstance(size, int) else max(size)
        self._lock = threading.RLock()
        # Objects that are made on first use, by name.
        self._made = {}

    @property
    def logit_scale(self):
        self._check_texts()
        return float(self.model.logit_scale.detach().exp())

    def loaded(self):
        """The model itself. A `RememberedModel` refuses this property."""
        return self

    def _check_texts(self):
        if self._parts.make_tokenizer is None:
            raise NoTextError(
                f"The model {self.source} embeds images only, so names of classes say nothing to"
                " it. Give shots of each class and text_encoder=None, or join it with a model that"
                " has texts."
            )

    def _once(self, name, make):
        """The result of `make()`, computed once under this name. Other threads wait for it."""
        with self._lock:
            if name not in self._made:
                self._made[name] = make()
            return self._made[name]

    def resize_box(self, image, size, box):
        """Resize a box of a shrunk image as `crop` does. `size` is the size of the whole image."""
        side, shortest = self._resize.size, min(size)
        if isinstance(side, int):
            fitted = tuple(
                side if length == shortest else int(side * length / shortest) for length in size
            )
        else:
            fitted = tuple(side[::-1])
        return image.resize(fitted, Resampling[self._resize.interpolation.name], box)

    def crop(self, image):
        # An image may be so narrow that resizing it by its shortest side would exhaust memory.
        if self._parts.resize == "shortest":
            scale = (self.shortest_side or max(self.image_size)) / min(image.size)
            check_size(*(max(1, round(side * scale)) for side in image.size))
        return self._geometry(image)

    def preprocessing(self):
        """The preprocessing from an image to pixels, as JSON."""
        return {
            "mode": "RGB",
            "resize": self._parts.resize,
            "resize_to": self.shortest_side or max(self.image_size),
            "interpolation": self._parts.interpolation,
            "size": list(self.image_size),
            "divide_by": 255,
            "mean": [float(value) for value in self._parts.normalize.mean],
            "std": [float(value) for value in self._parts.normalize.std],
            "layout": "NCHW",
        }

    def as_input(self, pixels):
        """Inputs `(n, 3, h, w)` in float32 from pixels `(n, h, w, 3)`, scaled by the model's own
        preprocessing.
        """
        pixels = pixels.to(self.device).permute(0, 3, 1, 2)
        # Convolutions of CUDA are fastest with channels last.
        if self.device.type != "cuda":
            pixels = pixels.contiguous()
        # torchvision's own function would read a value from the device, for which the CPU waits.
        moments = self._parts.normalize.mean, self._parts.normalize.std
        mean, std = (torch.as_tensor(part, dtype=torch.float32).view(3, 1, 1) for part in moments)
        return pixels.float().div_(255).sub_(mean.to(self.device)).div_(std.to(self.device))

    def embed_images(self, pixels, precision):
        if self.device.type != "cpu":
            return self.embed_inputs(self.as_input(pixels), precision)
        with threads_for(len(pixels) * PATCHES * _n_weights(self.model.visual)):
            return on_all_cores(
                lambda piece: self.embed_inputs(self.as_input(piece), precision), pixels
            )

    def embed_inputs(self, inputs, precision):
        model = self.model
        if precision == "bf16" and self.device.type == "cpu":
            # Autocast would convert all weights in every batch and prevent torch's fast attention.
            # Both cost more than bf16 gains.
            model = self._once("model in bf16", self._copy_in_bf16)
            inputs, precision = inputs.bfloat16(), "fp32"
        with torch.inference_mode(), _autocast(precision, self.device):
            # CoCa normalises unless told not to.
            return model.encode_image(inputs, normalize=False).float()

    def _copy_in_bf16(self):
        model = copy_of_modules(self.model)
        model.visual = copy.deepcopy(self.model.visual).to(torch.bfloat16)
        return model

    def embed_tokens(self, tokens, precision, *, project=True):
        """Embeddings of stacked tokens: `(n, D)`, or `(n, d)` before the projection."""
        model = self.model
        if not project:
            model = self._once("model without projection", lambda: without_projection(self.model))
        limit = threads_for(tokens.numel() * _n_weights(self.model))
        with limit, torch.inference_mode(), _autocast(precision, self.device):
            return model.encode_text(tokens.to(self.device), normalize=False).float()

    def image_precision(self, precision):
        if precision != "auto":
            return precision
        # Small encoders are fast, and half precision may change a prediction.
        if _n_weights(self.model.visual) < SMALL_ENCODER:
            return "fp32"
        if self.device.type == "cuda":
            return "bf16" if torch.cuda.get_device_capability(self.device)[0] >= 8 else "fp16"
        return "bf16" if self.device.type == "cpu" and _cpu_has_bf16() else "fp32"

    def projection(self, for_images):
        """Weight `(d, D)` and bias of the last linear layer; `NoProjectionError` without one."""
        if not for_images:
            self._check_texts()
        read = read_image_projection if for_images else read_text_projection
        return [None if part is None else part.cpu().numpy().copy() for part in read(self.model)]

    def tokenize(self, text):
        self._check_texts()
        # The tokenizer is made on first use: it may come from a hub, and images need none.
        return self._once("tokenizer", self._make_tokenizer)(text)

    def _make_tokenizer(self):
        with asking_hub_of(self.source):
            return self._parts.make_tokenizer()

    def digest(self, for_images):
        """Digest of all that embeddings depend on, apart from the content and the precision."""
        return self._once(f"digest, {for_images=}", lambda: self._make_digest(for_images))

    def _make_digest(self, for_images):
        description = [for_images, self._parts.description, str(self.model)]
        digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
        for name, value in self.model.state_dict().items():
            if name.startswith("visual.") == for_images:
                digest.update(name.encode())
                digest.update(value.cpu().contiguous().numpy())
        if not for_images:
            # Texts are looked up without their tokens, so the tokenizer is part of the digest of
            # the model.
            digest.update(self.tokenize(_PROBE)[0])
        return digest.digest()


def _n_weights(part):
    return sum(weight.numel() for weight in part.parameters())


def _autocast(precision, device):
    """Context in which a float32 model computes in `precision`, also within an autocast of the
    caller.
    """
    if precision == "fp32" and not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def _cpu_has_bf16():
    # Older versions of torch have private functions only.
    if hasattr(torch.cpu, "get_capabilities"):
        abilities = torch.cpu.get_capabilities()
        return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
