"""A device that is not the CPU, on machines that have no other: what runs on it could run on a graphics card.

Its tensors lie on the CPU inside a wrapper that says otherwise. As on a card, numpy cannot have them, they do not mix
with tensors of the CPU (but for single numbers), and the way from one to the other is `Tensor.to`. So a computation
that ends on it has taken no hidden step on the CPU. What it cannot show is a kernel of the card itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

# Of all types of devices that torch knows without a backend, this one runs its gradients in the caller's thread.
STAND_IN = torch.device("lazy:0")
TRANSFERS = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
# They make tensors of Python's numbers beneath the level at which operations can be caught.
MAKERS = (torch.tensor, torch.as_tensor, Tensor.new_tensor)


@contextmanager
def stand_in_device() -> Iterator[torch.device]:
    """The device, which is there as long as the context is."""
    with _Makers(), _Operations():
        yield STAND_IN


@contextmanager
def _shapes_only() -> Iterator[None]:
    """Operations change what a tensor says of itself, as torch's own wrappers have it done, and compute nothing."""
    before = torch._C._meta_in_tls_dispatch_include()
    torch._C._set_meta_in_tls_dispatch_include(True)
    try:
        yield
    finally:
        torch._C._set_meta_in_tls_dispatch_include(before)


class _Elsewhere(Tensor):
    """A tensor that says that it is on the stand-in device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> _Elsewhere:
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=STAND_IN
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Makers(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.tolist and isinstance(args[0], _Elsewhere):  # a card's tensors can; wrappers cannot
            return args[0].cpu().tolist()
        if func not in MAKERS:
            return func(*args, **kwargs)
        like = args[0] if func is Tensor.new_tensor else None
        device = torch.device(kwargs.get("device") or (like.device if like is not None else "cpu"))
        if device.type != STAND_IN.type:
            return func(*args, **kwargs)
        options = {"dtype": like.dtype} if like is not None else {}
        return torch.tensor(args[-1], **options | kwargs | {"device": "cpu"}).to(device)


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    elsewhere = [t for t in tensors if isinstance(t, _Elsewhere)]
    here = [t for t in tensors if not isinstance(t, _Elsewhere) and t.ndim]
    if elsewhere and here and func not in TRANSFERS:
        raise RuntimeError(f"{func}: some tensors are on the CPU and some on the stand-in device")
    there = bool(elsewhere)
    if kwargs.get("device") is not None:
        there = kwargs["device"].type == STAND_IN.type
        kwargs = {**kwargs, "device": torch.device("cpu")}
    inner = lambda leaf: leaf.inner if isinstance(leaf, _Elsewhere) else leaf  # noqa: E731
    # What was changed in place stays the same tensor.
    wrapped = {id(t.inner): t for t in elsewhere}

    def wrap(leaf: Any) -> Any:
        return wrapped.get(id(leaf)) if id(leaf) in wrapped else _Elsewhere(leaf)

    result = func(*tree_map(inner, args), **tree_map(inner, kwargs))
    if torch.Tag.inplace_view in func.tags:  # it has another shape now, and so has its wrapper
        with no_dispatch(), _shapes_only():
            func(*args, **kwargs)
    return tree_map(lambda leaf: wrap(leaf) if there and isinstance(leaf, Tensor) else leaf, result)
