"""The torch device of a parameter, and the number of threads."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController

try:
    from threadpoolctl import get_cached_controller
except ImportError:  # before 3.7
    get_cached_controller = cache(ThreadpoolController)

# Matrix products with fewer multiplications are computed by one thread. Several threads would wait for each other
# longer than they save (`studies/training.py --threads`).
SMALL_PRODUCT = 2**28
# A thread embeds at least this many images at once. With fewer, each image takes longer
# (`python benchmarks/encoding.py --only pieces`).
SMALLEST_PIECE = 16


def threads_for(n_multiplications):
    """A context in which BLAS and torch use one thread if the products are small."""
    # None changes nothing.
    return _limit_threads(1 if n_multiplications < SMALL_PRODUCT else None, None)


def on_all_cores(forward, batch):
    """Compute `forward(batch)` on the CPU in pieces. Each piece has its share of the threads of torch.

    Threads that share one pass wait for each other at every layer. Threads with their own pieces wait only at the end.
    `forward` takes a tensor of rows, and returns a tensor with as many rows. Each row depends only on the same row of
    the input.
    """
    import torch

    n_threads = torch.get_num_threads()
    n_pieces = min(n_threads, len(batch) // SMALLEST_PIECE)
    if n_pieces < 2:
        return forward(batch)

    def compute(piece):
        torch.get_num_threads()  # torch sets the threads of a new thread when it is first asked
        with _limit_threads(n_threads // n_pieces, "openmp"):
            return forward(piece)

    with ThreadPoolExecutor(n_pieces, thread_name_prefix="sksemobridge-forward") as pool:
        return torch.cat(list(pool.map(compute, batch.chunk(n_pieces))))


def _limit_threads(n, user_api):
    try:
        controller = get_cached_controller()
    except FileNotFoundError:  # Linux without its proc file system, where loaded libraries are listed
        return nullcontext()
    return controller.limit(limits=n, user_api=user_api)


def resolve_device(device):
    """The torch device of a parameter. `"auto"` is CUDA if there is a GPU, else the CPU.

    It is a ValueError if torch cannot make a tensor there on this machine.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (AssertionError, ImportError, RuntimeError) as error:
        # Some messages of torch go on for pages.
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"device={device!r} is no device that torch can use on this machine ({reason}). Use device='auto', which takes "
            "a GPU only if there is one, 'cpu', 'cuda' or 'cuda:1'."
        ) from error
