"""A second device for torch on machines without a GPU: its tensors compute on the CPU, but do not
mix with others.

Code that forgets where its tensors are passes on the CPU and fails on a GPU; it fails here, too.
Copies between devices are fine, and so are tensors without dimensions that lie on the CPU. Indices
on the CPU, which a GPU would fetch each time, are not.
"""

import torch
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

# A device that torch knows on every machine.
NAME = "meta"
_COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class _Tensor(torch.Tensor):
    """A tensor of the second device, which holds one of the CPU."""

    @staticmethod
    @torch.inference_mode(False)
    def __new__(cls, inner):
        return cls._make_wrapper_subclass(
            cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=NAME
        )

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError(f"{function} outside of `with SecondDevice()`")


class SecondDevice(TorchDispatchMode):
    """Within it, `device="meta"` names the second device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with self:
            # In inference mode, functions come that consist of others.
            result = function.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result

        tensors = [
            leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)
        ]
        strangers = [tensor for tensor in tensors if not isinstance(tensor, _Tensor)]
        if any(tensor.device.type == NAME for tensor in strangers):
            # They come from torch.tensor(..., device=...) or from a list as index, which torch does
            # not pass on.
            raise RuntimeError(
                f"{function} takes a tensor without values: make it on the CPU and send it"
            )
        any_here = len(strangers) < len(tensors)
        if any_here and function not in _COPIES and any(tensor.ndim for tensor in strangers):
            raise RuntimeError(f"{function} mixes tensors of the CPU and of the second device")

        device = kwargs.get("device")
        stays = any_here if device is None else torch.device(device).type == NAME
        if torch.Tag.inplace_view in function.tags:
            with no_dispatch():
                # The shape of ours changes with that of the tensor it holds.
                function(*args, **kwargs)
        if device is not None:
            kwargs = kwargs | {"device": torch.device("cpu")}
        args, kwargs = tree_map_only(_Tensor, lambda tensor: tensor.inner, (args, kwargs))
        # What is changed in place stays the same tensor.
        known = {id(getattr(tensor, "inner", tensor)): tensor for tensor in tensors}
        return tree_map_only(
            torch.Tensor,
            lambda tensor: known.get(id(tensor), _Tensor(tensor) if stays else tensor),
            function(*args, **kwargs),
        )
