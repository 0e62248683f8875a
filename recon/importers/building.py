"""What every importer needs: a session that appears whole or not at all, and a world that stands upright."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.options import Axis
from simulacra.recon.runs.files import disk_errors
from simulacra.recon.session import (
    SESSION_FILE,
    Frame,
    Session,
    SessionCamera,
    check_camera,
    describe_session,
    load_session,
)
from simulacra.recon.session.lens import sound_part
from simulacra.recon.session.times import frame_seconds
from simulacra.render.runtime.errors import InputError, RunError
from simulacra.render.runtime.whole_files import sync, sync_tree

# The end of the name of a folder in which a session is made.
UNFINISHED = ".unfinished"
# Seconds: where the disk has no locks, one of this age is taken for abandoned.
YOUNG = 3600.0


@contextmanager
def new_session_folder(session: Path) -> Iterator[Path]:
    """A folder to build in, renamed to ``session`` when the block ends well and removed when it does not.

    Raises:
        RunError: there is something at ``session`` already, or the disk is full.
    """
    if session.exists() and (not session.is_dir() or any(session.iterdir())):
        raise RunError(
            "there is something already", where=session, remedy="name a new folder for the session"
        )
    with disk_errors(session):
        session.absolute().parent.mkdir(parents=True, exist_ok=True)
        work, held = _make_work_folder(session)
        try:
            yield work
            os.chmod(work, 0o755)
            if session.is_dir():
                session.rmdir()
            sync_tree(work)
            work.rename(session)
            sync(work.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            os.close(held)


def _make_work_folder(session: Path) -> tuple[Path, int]:
    """A new folder beside the session, and a descriptor that holds it as long as it is open.

    What killed processes left that were making the same session is removed first.
    """
    beside = session.absolute().parent
    turn = os.open(beside, os.O_RDONLY)
    try:
        # One at a time: nobody sees the folder of another who has made and not yet locked it.
        locked = _lock(turn, wait=True)
        _remove_abandoned(session, locked)
        work = Path(tempfile.mkdtemp(prefix=f".{session.name}.", suffix=UNFINISHED, dir=beside))
        held = os.open(work, os.O_RDONLY)
        _lock(held)
        return work, held
    finally:
        os.close(turn)


def _lock(descriptor: int, *, wait: bool = False) -> bool:
    """Whether it could be locked: not where somebody else has it, or on a disk without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _remove_abandoned(session: Path, locked: bool) -> None:
    for left in session.absolute().parent.glob(f".{glob.escape(session.name)}.*{UNFINISHED}"):
        with suppress(OSError):
            held = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if not (_lock(held) if locked else time.time() - left.stat().st_mtime > YOUNG):
                    continue
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(held)


def write_session(
    folder: Path,
    cameras: Sequence[SessionCamera],
    frames: Sequence[Frame],
    *,
    importer: str,
    arguments: Mapping[str, Any],
    notes: Sequence[str],
    T_world_source: Float[np.ndarray, "4 4"],
    source: Path,
    reference: str | None = None,
) -> Session:
    """Writes session.json into a folder that holds the files, and loads it as everybody will.

    Who agreed to what is not in any foreign layout: the fields are there, empty, for the owner to fill.
    """
    for camera in cameras:
        check_camera(camera.name, camera.K, camera.viewmat, camera.width, camera.height, importer)
    about = {
        "subject": None,
        "consent": None,
        "retain_until": None,
        "derived_from": str(source.resolve()),
        "importer": importer,
        "arguments": dict(arguments),
        "T_world_source": T_world_source.tolist(),
    }
    found = [*notes, *_say_folds(cameras), *_say_times(frames)]
    text = describe_session(cameras, frames, notes=found, about=about, reference=reference)
    (folder / SESSION_FILE).write_text(text, "utf-8")
    return load_session(folder)


def _say_folds(cameras: Sequence[SessionCamera]) -> list[str]:
    """Lenses of which the files cannot be right out to the corners."""
    sound = {c.name: sound_part(c.lens, c.K, c.width, c.height) for c in cameras if c.lens is not None}
    return [
        f"{name}: its lens folds the image over at {100 * part:.0f} % of the way to the corners, and the picture ends "
        "there: calibrate it again (`simulacra calibrate board`), or give it fewer coefficients"
        for name, part in sound.items()
        if part < 1
    ]


def _say_times(frames: Sequence[Frame]) -> list[str]:
    """Pictures of several moments that carry no time, and what is assumed where that leaves no rate."""
    times = [(name, source.time) for frame in frames for name, source in frame.sources.items()]
    missing = [name for name, time in times if time is None and len(frames) > 1]
    _, assumed = frame_seconds(frames)
    said = f"{len(missing)} of {len(times)} pictures carry no time: of {', '.join(dict.fromkeys(missing))}"
    rate = (
        f"{assumed}. At another rate speeds and the smoothness of motion are wrong (at 60 it is smoothed four times "
        "too weakly): import again with --fps RATE"
    )
    return [*([said] if missing else []), *([rate] if assumed else [])]


def at_rate(frames: Sequence[Frame], fps: float | None, where: Path) -> tuple[Frame, ...]:
    """Frames with times by their numbers, where ``fps`` is given: pictures a second.

    Raises:
        InputError: the files carry times that rise.
    """
    if fps is None:
        return tuple(frames)
    seconds, assumed = frame_seconds(frames)
    if len(frames) > 1 and assumed is None:
        rate = (frames[-1].index - frames[0].index) / seconds[-1]
        raise InputError(
            "a rate is given, and the files carry times", where=where, expected="no --fps",
            found=f"--fps {fps:g}, and times of {rate:.2f} pictures a second", remedy="leave --fps away",
        )  # fmt: skip
    return tuple(
        replace(f, sources={n: replace(one, time=f.index / fps) for n, one in f.sources.items()})
        for f in frames
    )


def copy_file(source: Path, target: Path, within: Path | None = None) -> None:
    """Links a file into the session where the disk allows it, copies it otherwise.

    Args:
        within: the capture's folder: a link in a capture must not bring in what lies elsewhere.

    Raises:
        InputError: it is not there, or a link that leads out of ``within``.
    """
    if not source.is_file():
        raise InputError("a file of the capture is missing", where=source)
    if within is not None and not source.resolve().is_relative_to(within.resolve()):
        raise InputError(
            "a file is outside of the capture's folder",
            where=source,
            found=source.resolve(),
            remedy="put the file itself into the capture, not a link",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def upright(axis: Axis) -> Float[np.ndarray, "4 4"]:
    """The rotation that takes a source's up axis to +Y, by the shortest turn."""
    up = np.zeros(3)
    up["xyz".index(axis[1])] = 1.0 if axis[0] == "+" else -1.0
    return turn_to_up(up)


def turn_to_up(up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """The shortest rotation that takes a unit direction to +Y."""
    T = np.eye(4)
    cosine = float(up[1])
    if cosine < -1 + 1e-9:
        T[:3, :3] = np.diag([1.0, -1.0, -1.0])
        return T
    x, _, z = up
    cross = np.array([[0, -x, 0], [x, 0, z], [0, -z, 0]])  # of the axis up x Y = (-z, 0, x)
    T[:3, :3] = np.eye(3) + cross + cross @ cross / (1 + cosine)
    return T


def nearest_axis(direction: Float[np.ndarray, "3"]) -> tuple[Axis, float]:
    """The signed axis closest to a unit direction, and the angle between them in degrees."""
    k = int(np.abs(direction).argmax())
    name: Axis = f"{'+' if direction[k] > 0 else '-'}{'xyz'[k]}"  # type: ignore[assignment]
    return name, float(np.degrees(np.arccos(np.clip(abs(direction[k]), 0, 1))))
