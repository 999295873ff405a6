"""Models, loaded once per process and shared by all encoders."""

import dataclasses
import hashlib
import json
import threading
from collections import OrderedDict

from ._compute import resolve_device
from ._pictures import check_size
from ._source import cannot_load, find_source, read_config

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
        self._digest = None

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
        """
        import torch

        pixels = pixels.to(self.device).permute(0, 3, 1, 2)
        mean = torch.tensor(self._mean, device=self.device).view(3, 1, 1)
        std = torch.tensor(self._std, device=self.device).view(3, 1, 1)
        return pixels.contiguous().float().div_(255).sub_(mean).div_(std)

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
        with self._lock:
            if self._digest is None:
                digest = hashlib.sha256()
                description = [self._config, dataclasses.asdict(self._preprocess), str(self.model.visual)]
                digest.update(json.dumps(description, sort_keys=True).encode())
                for name, value in self.model.visual.state_dict().items():
                    digest.update(name.encode())
                    digest.update(value.cpu().contiguous().numpy())
                self._digest = digest.digest()
        return self._digest


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
    return LoadedModel(source, device, model, config)
