"""A forward pass that makes do with the memory of the device."""

import warnings


class FittingForward:
    """Computes batches; where the device runs out of memory, in halves, and in halves of them.

    Rows do not depend on each other, so the result is the same. The size that fits is kept for the batches
    that follow, and one warning tells of it.

    Parameters
    ----------
    forward : callable
        From a tensor of inputs to a tensor with as many rows.
    batch_size : int
        To begin with.
    """

    def __init__(self, forward, batch_size):
        self._forward = forward
        self._batch_size = batch_size
        self._size = batch_size

    def __call__(self, batch):
        """Rows of `forward`.

        Raises
        ------
        torch.OutOfMemoryError
            If a single row is too much.
        """
        import torch

        size = self._size
        while True:
            try:
                result = torch.cat([self._forward(piece) for piece in batch.split(size)])
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
            else:
                break
            # Outside of the handler, whose exception holds on to the tensors of the failed pass.
            size = (min(size, len(batch)) + 1) // 2
            torch.cuda.empty_cache()
        self._size = size
        return result

    def warn_if_halved(self):
        """Say once, when all is done, that batches were too large."""
        if self._size < self._batch_size:
            warnings.warn(
                f"Batches of {self._batch_size} did not fit in the memory of the device; the last were "
                f"computed {self._size} at a time. Set batch_size to that or less.",
                RuntimeWarning,
                stacklevel=2,
            )
