"""Models, loaded once per process and shared by all encoders."""

import copy
import dataclasses
import hashlib
import json
import threading
from collections import OrderedDict

from .._utils.device import resolve_device
from ._pictures import check_size
from ._source import cannot_load, find_source, read_config
from ._text_tower import shallow_copy

MAX_MODELS = 4


class LoadedModel:
    """A model that encoders share; nobody changes it.

    Attributes
    ----------
    source : ModelSource
    device : torch.device
    model : torch.nn.Module
        In float32, in evaluation mode, without gradients.
    embed_dim : int
        `D`, the width of the joint space.
    n_image_parameters : int
        Of the image tower.
    image_size : tuple of int
        Height and width that the image tower takes.
    """

    def __init__(self, source, device, model, config):
        from open_clip.transform import PreprocessCfg, image_transform_v2
        from torchvision.transforms import Compose

        self.source = source
        self.device = device
        self.model = model
        self.embed_dim = int(config["embed_dim"])
        self.n_image_parameters = sum(weight.numel() for weight in model.visual.parameters())
        self._config = config
        self._preprocess = PreprocessCfg(**model.visual.preprocess_cfg)
        # The model's own preprocessing in two parts: on one image, and on a batch where the model computes.
        *geometry, _, normalize = image_transform_v2(self._preprocess, is_train=False).transforms
        size = self._preprocess.size
        self.image_size = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
        self._geometry = Compose(geometry)
        self._mean = tuple(normalize.mean)
        self._std = tuple(normalize.std)
        self._lock = threading.Lock()
        self._tokenizer = None
        self._bf16_model = None
        self._digests = {}

    def crop(self, image):
        """Resize and crop an RGB image of Pillow to `image_size`: the model's own preprocessing of one image.

        Raises
        ------
        ImageReadError
            If the picture is so narrow that, resized by its shortest side, it would exhaust memory.
        """
        if self._preprocess.resize_mode == "shortest":
            width, height = image.size
            scale = max(self.image_size) / min(width, height)
            check_size(max(1, round(width * scale)), max(1, round(height * scale)))
        return self._geometry(image)

    def as_input(self, pixels):
        """Scale and normalise pixels as the model's own preprocessing does, a batch at once on its device.

        Parameters
        ----------
        pixels : torch.Tensor of shape (n, h, w, 3), uint8

        Returns
        -------
        torch.Tensor of shape (n, 3, h, w), float32
            On a GPU with channels last in memory, as its convolutions are fastest.
        """
        import torch

        if self.device.type == "cuda":
            # Only from pinned memory a copy need not be waited for.
            pixels = pixels.pin_memory().to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        else:
            pixels = pixels.to(self.device).permute(0, 3, 1, 2).contiguous()
        mean = torch.tensor(self._mean, device=self.device).view(3, 1, 1)
        std = torch.tensor(self._std, device=self.device).view(3, 1, 1)
        return pixels.float().div_(255).sub_(mean).div_(std)

    def image_model(self, precision):
        """The model to embed images with, and the type of its inputs.

        On a CPU bf16 is that of a copy of the image tower. Autocast would convert all weights in every batch
        and bar torch's fast attention, which together cost more than bf16 gains.
        """
        import torch

        if precision != "bf16" or self.device.type != "cpu":
            return self.model, torch.float32
        with self._lock:
            if self._bf16_model is None:
                tower = copy.deepcopy(self.model.visual).to(torch.bfloat16)
                self._bf16_model = shallow_copy(self.model)
                self._bf16_model._modules["visual"] = tower
        return self._bf16_model, torch.bfloat16

    def tokenize(self, texts):
        """Token ids of texts. The tokenizer is made on first use: some come from a hub, and images need none.

        Raises
        ------
        ModelLoadError
            If the tokenizer cannot be had.
        """
        with self._lock:
            if self._tokenizer is None:
                import open_clip

                try:
                    self._tokenizer = open_clip.get_tokenizer(self.source.name)
                except Exception as error:
                    raise _cannot_tokenize(self.source, error) from error
        return self._tokenizer(texts)

    def image_digest(self):
        """Digest of all that an image embedding depends on, but for the image and the precision."""
        description = [self._config, dataclasses.asdict(self._preprocess), str(self.model.visual)]
        return self._digest("image", description, self.model.visual.state_dict())

    def text_digest(self):
        """Digest of all that a text embedding depends on, but for the tokens and the precision."""
        state = self.model.state_dict()
        weights = {name: value for name, value in state.items() if not name.startswith("visual.")}
        return self._digest("text", [self._config, str(self.model)], weights)

    def _digest(self, tower, description, weights):
        with self._lock:
            if tower not in self._digests:
                digest = hashlib.sha256(json.dumps([tower, *description], sort_keys=True).encode())
                for name, value in weights.items():
                    digest.update(name.encode())
                    digest.update(value.cpu().contiguous().numpy())
                self._digests[tower] = digest.digest()
            return self._digests[tower]


def _cannot_tokenize(source, error):
    loading = cannot_load(source, f"its tokenizer is missing, {error}")
    if isinstance(error, ImportError) or "transformers" in str(error):
        return type(loading)(
            f"{loading}\nThis tokenizer needs the package transformers: pip install transformers."
        )
    return loading


class _Slot:
    """One place of the registry; its lock makes threads that ask at once wait for a single load."""

    def __init__(self):
        self.lock = threading.Lock()
        self.loaded = None


_slots = OrderedDict()
_slots_lock = threading.Lock()


def get_model(model_name, pretrained, device):
    """The loaded model of an encoder's parameters, from the registry where it is there.

    Parameters
    ----------
    model_name, pretrained, device
        As encoders take them.

    Returns
    -------
    LoadedModel

    Raises
    ------
    ModelLoadError
        If the model or its weights cannot be had.
    ValueError
        If the machine has no such device.
    """
    source = find_source(model_name, pretrained)
    device = resolve_device(device)
    key = (source, str(device))
    with _slots_lock:
        slot = _slots.setdefault(key, _Slot())
        _slots.move_to_end(key)
        while len(_slots) > MAX_MODELS:
            _slots.popitem(last=False)
    with slot.lock:
        if slot.loaded is None:
            try:
                slot.loaded = _load(source, device)
            except BaseException:
                with _slots_lock:
                    if _slots.get(key) is slot:
                        del _slots[key]
                raise
        return slot.loaded


def clear_model_cache():
    """Forget all models that this process has loaded; the next use loads them again.

    Memory is returned once no running `transform` uses them.

    Examples
    --------
    >>> from sksemobridge import clear_model_cache
    >>> clear_model_cache()
    """
    with _slots_lock:
        _slots.clear()


def read_embed_dim(model_name, pretrained):
    """`D` from a model's configuration alone, so that naming columns needs no weights."""
    return int(read_config(find_source(model_name, pretrained))["embed_dim"])


def _load(source, device):
    import open_clip
    import torch

    config = read_config(source)
    quick_gelu = bool(config.get("quick_gelu", False))
    if source.pretrained is not None and not source.files:
        # open_clip builds the architecture of the name with GELU and only warns where the weights of the
        # tag were trained with QuickGELU, as OpenAI's were.
        tag = open_clip.get_pretrained_cfg(source.name, source.pretrained)
        quick_gelu = quick_gelu or bool(tag.get("quick_gelu", False))
    try:
        model = open_clip.create_model(
            source.name,
            pretrained=source.pretrained,
            precision="fp32",
            device=device,
            force_quick_gelu=quick_gelu,
            require_pretrained=True,
            weights_only=True,
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise cannot_load(source, error) from error
    model.eval()
    model.requires_grad_(False)
    if device.type == "cuda":
        model.visual.to(memory_format=torch.channels_last)
    return LoadedModel(source, device, model, config)
