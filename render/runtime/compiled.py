"""Numba kernels whose disk cache knows every source file that they are made of, and lies where our other files do.

Numba looks only at the file of the function itself before it loads compiled code from its cache. Our
kernels take constants and inlined functions from files beside theirs; a change there must not leave the old
code in use. And it keeps that code beside the sources, where it outlives them when the package is uninstalled.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numba.core.config

from simulacra.render.runtime.assets import cache_root
from simulacra.render.runtime.errors import AssetError

Function = Callable[..., Any]


def kernel_compiler(*sources: str) -> Callable[..., Callable[[Function], Function]]:
    """A decorator like ``numba.njit(nogil=True, cache=True, ...)`` for kernels made of the files ``sources``.

    What was compiled is kept in the folder `kernels` of the cache of outside files, or where NUMBA_CACHE_DIR says.
    Where that cannot be written (a user without a home) one in the temporary folder is taken, and named on stderr.

    Args:
        sources: paths, the kernels' own file included (``__file__``).
    """
    digest = hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources)).hexdigest()

    def compiled(**options: Any) -> Callable[[Function], Function]:
        def decorate(function: Function) -> Function:
            dispatcher = njit(nogil=True, cache=True, **options)(function)
            cache = getattr(dispatcher, "_cache", None)  # none where compiling is switched off
            if cache is not None and hasattr(cache, "_cache_file"):
                # The stamp that the cache's index is compared with; Numba has no public way to set it.
                cache._cache_file._source_stamp = digest
            return dispatcher

        return decorate

    return compiled


def njit(**options: Any) -> Callable[[Function], Function]:
    """``numba.njit`` whose disk cache is where our other files are; where none can be, every process compiles."""

    def decorate(function: Function) -> Function:
        config: Any = numba.core.config  # whose values are made when it is imported
        before = config.CACHE_DIR
        # Numba decides where a function is kept when it is decorated; what others decorate stays theirs to decide.
        config.CACHE_DIR = before or _own_folder(os.environ.get("SIMULACRA_CACHE"))
        try:
            return numba.njit(**options)(function)
        except RuntimeError as error:  # Numba has no narrower one
            if "no locator available" not in str(error):
                raise
            return numba.njit(**(options | {"cache": False}))(function)
        finally:
            config.CACHE_DIR = before

    return decorate


@functools.cache
def _own_folder(named: str | None) -> str:
    """The folder for kernels, "" where there is none.

    Args:
        named: the cache of outside files, if it is named.
    """
    return next(map(str, _own_folders()), "")


def _own_folders() -> Iterator[Path]:
    """Those that can be written: of the cache of outside files, and the user's own temporary one, which is noted."""
    temporary = Path(tempfile.gettempdir()) / f"simulacra-kernels-{os.getuid()}"
    try:
        usual = cache_root() / "kernels"
    except AssetError:
        usual = temporary
    for folder in (usual, temporary):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            found = folder.lstat()
        except OSError:
            continue
        # What lies there is run: nobody else may have made it, or may write into it.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
            if folder == temporary:
                said = f"note: compiled kernels are kept in {folder}; NUMBA_CACHE_DIR names another folder"
                print(said, file=sys.stderr)
            yield folder
