"""Where and how precisely a model computes."""

from contextlib import nullcontext

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
# In parameters. The image towers of released models have more, that of the bundled one has 1.6 million.
SMALL_TOWER = 5_000_000


def resolve_device(device):
    """The torch device that a parameter names; `"auto"` is CUDA where there is a GPU, else the CPU.

    Raises
    ------
    ValueError
        If torch does not know the device, or this machine has none of its kind.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is no device of torch; use 'auto', 'cpu', 'cuda' or 'cuda:1'."
        ) from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if not count:
            raise ValueError(
                f"device={str(device)!r}, but torch sees no CUDA GPU on this machine. Use device='auto', "
                "which takes a GPU only where there is one."
            )
        index = torch.cuda.current_device() if device.index is None else device.index
        if index >= count:
            raise ValueError(f"device={str(device)!r}, but torch sees {count} CUDA GPU(s), numbered from 0.")
        device = torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device='mps', but torch cannot use Apple's GPU on this machine. Use device='auto'.")
    return device


def resolve_image_precision(precision, device, n_parameters):
    """`"auto"` is bf16 where the processor computes in it natively, fp16 on older GPUs, else fp32.

    Towers of few parameters stay in fp32: they are fast enough not to be worth a prediction that changes.
    """
    import torch

    if precision != "auto":
        return precision
    if n_parameters < SMALL_TOWER:
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"
    if device.type == "cpu" and _cpu_has_bf16():
        return "bf16"
    return "fp32"


def resolve_text_precision(precision):
    """`"auto"` is fp32: prompts are few, and the bridge is read off their exact geometry."""
    return "fp32" if precision == "auto" else precision


def _cpu_has_bf16():
    import torch

    # torch tells the abilities of a CPU by a public function only in its newest versions.
    if hasattr(torch.cpu, "get_capabilities"):
        abilities = torch.cpu.get_capabilities()
        return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(precision, device):
    """Context in which a float32 model computes in the precision asked for."""
    import torch

    if precision == "fp32":
        return nullcontext()
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype)
