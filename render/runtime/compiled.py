"""Numba kernels whose disk cache knows every source file that they are made of.

Numba looks only at the file of the function itself before it loads compiled code from its cache. Our
kernels take constants and inlined functions from files beside theirs; a change there must not leave the old
code in use.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba.core.config
from numba import njit

Function = Callable[..., Any]


def kernel_compiler(*sources: str) -> Callable[..., Callable[[Function], Function]]:
    """A decorator like ``numba.njit(nogil=True, cache=True, ...)`` for kernels made of the files ``sources``.

    Numba keeps what it compiled beside the sources or in the home folder. Where neither can be written (a container's
    read-only installation, a user without a home) a folder of our own is taken, which a line on stderr names.

    Args:
        sources: paths, the kernels' own file included (``__file__``).
    """
    digest = hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources)).hexdigest()

    def compiled(**options: Any) -> Callable[[Function], Function]:
        def decorate(function: Function) -> Function:
            dispatcher = _dispatch(function, options)
            cache = getattr(dispatcher, "_cache", None)  # none where compiling is switched off
            if cache is not None and hasattr(cache, "_cache_file"):
                # The stamp that the cache's index is compared with; Numba has no public way to set it.
                cache._cache_file._source_stamp = digest
            return dispatcher

        return decorate

    return compiled


def _dispatch(function: Function, options: dict[str, Any]) -> Any:
    """The kernel, to be kept in the first place that takes it; in none it is compiled by every process."""
    try:
        return njit(nogil=True, cache=True, **options)(function)
    except RuntimeError as error:  # Numba has no narrower one
        if "no locator available" not in str(error):
            raise
    folder = next(_own_folders(), None)
    if folder is None:
        return njit(nogil=True, **options)(function)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    numba.core.config.reload_config()
    print(
        f"note: compiled kernels are kept in {folder}; NUMBA_CACHE_DIR names another folder", file=sys.stderr
    )
    return njit(nogil=True, cache=True, **options)(function)


def _own_folders() -> Iterator[Path]:
    """Those that can be written: of the cache of outside files, where one is named; the user's own temporary one."""
    named = os.environ.get("SIMULACRA_CACHE")
    temporary = Path(tempfile.gettempdir()) / f"simulacra-kernels-{os.getuid()}"
    for folder in (Path(named).expanduser() / "kernels", temporary) if named else (temporary,):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            found = folder.lstat()
        except OSError:
            continue
        # What lies there is run: nobody else may have made it, or may write into it.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
            yield folder
