"""Portraits for `fuzzing` to damage: whole files, and files put together of damaged metadata and sound pictures.

HEIC is decoded in a process of its own. Ten thousand new interpreters would take hours: here the same program runs in a
forked one.
"""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from simulacra.recon.importers import heif_pixels
from simulacra.recon.importers.options import TruedepthOptions
from simulacra.recon.importers.truedepth import import_truedepth
from tests.recon.importers.portrait_files import (
    Phone,
    depth_xmp,
    exif,
    swapped_profile,
    write_heic,
    write_jpeg,
)


def write_parts(folder: Path) -> None:
    """The metadata of a portrait, each in a file."""
    phone = Phone()
    (folder / "depth.xmp").write_bytes(depth_xmp(phone))
    (folder / "note.exif").write_bytes(exif(phone))
    (folder / "colors.icc").write_bytes(swapped_profile())


def import_parts(src: Path, session: Path) -> None:
    """Puts a portrait together and imports it."""
    from simulacra.render.runtime.errors import InputError

    parts = [src / name for name in ("depth.xmp", "note.exif", "colors.icc")]
    if not all(part.is_file() for part in parts):
        raise InputError("a part is missing", where=src)
    xmp, note, icc = (part.read_bytes() for part in parts)
    if max(len(xmp), len(note), len(icc)) > 65000:
        raise InputError("a part does not fit into a segment", where=src)
    write_jpeg(src / "whole.jpg", Phone(xmp=xmp, exif=note, icc=icc))
    import_truedepth(src / "whole.jpg", session, TruedepthOptions())


def write_whole(folder: Path, kind: str) -> None:
    (write_heic if kind == "heic" else write_jpeg)(folder / f"portrait.{kind}", Phone(turns=3))


def import_heic(src: Path, session: Path) -> None:
    with mock.patch.object(heif_pixels.subprocess, "run", forked):
        import_truedepth(src / "portrait.heic", session, TruedepthOptions())


def forked(
    command: Sequence[str], *, input: bytes, capture_output: bool, timeout: float, check: bool
) -> subprocess.CompletedProcess[bytes]:
    """`subprocess.run` of `python -I -c PROGRAM ARGUMENTS`, in a fork."""
    import pillow_heif  # noqa: F401 (before the fork, or every child would load it)

    at = list(command).index("-c")
    out, err = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _run_program(command[at + 1], command[at + 2 :], input, out[1], err[1])
    os.close(out[1])
    os.close(err[1])
    content: dict[int, bytes] = {out[0]: b"", err[0]: b""}
    open_ends, end = set(content), time.monotonic() + timeout
    while open_ends:
        ready, _, _ = select.select(list(open_ends), [], [], max(0.0, end - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            break
        for descriptor in ready:
            piece = os.read(descriptor, 1 << 16)
            content[descriptor] += piece
            if not piece:
                open_ends.discard(descriptor)
    _, status = os.waitpid(child, 0)
    for descriptor in content:
        os.close(descriptor)
    if open_ends:
        raise subprocess.TimeoutExpired(list(command), timeout)
    return subprocess.CompletedProcess(
        list(command), os.waitstatus_to_exitcode(status), content[out[0]], content[err[0]]
    )


def _run_program(program: str, arguments: Sequence[str], given: bytes, out: int, err: int) -> None:
    """The child: never returns."""
    status = 1
    try:
        sys.argv = ["-c", *arguments]
        sys.stdin = io.TextIOWrapper(io.BytesIO(given))
        sys.stdout = os.fdopen(out, "w")
        exec(compile(program, "decoder", "exec"), {})
        sys.stdout.flush()
        status = 0
    except SystemExit as error:
        os.write(err, str(error.code).encode())
    except BaseException as error:  # noqa: BLE001 (as an interpreter would)
        os.write(err, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(status)
