"""Where to compute: the torch device that a parameter names, and how many threads."""

from contextlib import nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController

try:
    from threadpoolctl import get_cached_controller
except ImportError:  # before 3.7
    get_cached_controller = cache(ThreadpoolController)

# Multiplications of a product below which one thread computes: threads would wait for each other longer than they
# save (`studies/training.py --threads`).
SMALL_PRODUCT = 2**28


def threads_for(n_multiplications):
    """Context in which BLAS has one thread where its products are small."""
    threads = 1 if n_multiplications < SMALL_PRODUCT else None  # None leaves them as they are
    try:
        controller = get_cached_controller()
    except FileNotFoundError:  # Linux without its proc file system, where loaded libraries are listed
        return nullcontext()
    return controller.limit(limits=threads, user_api="blas")


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
