"""Where and how precisely a model computes."""

from contextlib import nullcontext

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
# In parameters. The image towers of released models have more, that of the bundled one has 1.6 million.
SMALL_TOWER = 5_000_000


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
