"""The torch device of a parameter."""


def resolve_device(device):
    """`"auto"` is CUDA if there is a GPU, else the CPU."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (AssertionError, ImportError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]  # some messages go on for pages
        raise ValueError(f"device={device!r} is no device that torch can use here: {reason}") from error
