"""The torch device of a parameter."""


def resolve_device(device):
    """The torch device of a parameter. `"auto"` is CUDA if there is a GPU, else the CPU."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (AssertionError, ImportError, RuntimeError) as error:
        # Some messages of torch go on for pages.
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"device={device!r} is no device that torch can use on this machine: {reason}"
        ) from error
