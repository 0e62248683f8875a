"""Numba kernels whose disk cache knows every source file that they are made of.

Numba looks only at the file of the function itself before it loads compiled code from its cache. Our
kernels take constants and inlined functions from files beside theirs; a change there must not leave the old
code in use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit


def kernel_compiler(*sources: str) -> Callable[..., Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """A decorator like ``numba.njit(nogil=True, cache=True, ...)`` for kernels made of the files ``sources``.

    Args:
        sources: paths, the kernels' own file included (``__file__``).
    """
    digest = hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources)).hexdigest()

    def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            dispatcher = njit(nogil=True, cache=True, **options)(function)
            cache = getattr(dispatcher, "_cache", None)  # none where compiling is switched off
            if cache is not None:
                # The stamp that the cache's index is compared with; Numba has no public way to set it.
                cache._cache_file._source_stamp = digest
            return dispatcher

        return decorate

    return compiled
