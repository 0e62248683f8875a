"""Cameras that are read one by one: what is wrong with one of them costs that one, and is said."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TypeVar

from simulacra.recon.importers.footage import Footage, check_calibrated_size
from simulacra.recon.session import Frame, SessionCamera
from simulacra.render.runtime.errors import CalibrationError, InputError

T = TypeVar("T")


def read_each(labels: Iterable[str], read: Callable[[str], T]) -> tuple[dict[str, T], list[str]]:
    """What could be read by its label, in order, and a note for each that could not.

    Raises:
        CalibrationError: of the first of them, where none could be read.
        InputError: likewise.
    """
    found: dict[str, T] = {}
    faults: dict[str, CalibrationError | InputError] = {}
    for label in labels:
        try:
            found[label] = read(label)
        except (CalibrationError, InputError) as error:
            faults[label] = error
    if not found and faults:
        raise next(iter(faults.values()))
    return found, [f"{label} is left out: {' '.join(str(error).split())}" for label, error in faults.items()]


def say_unmatched(left: Iterable[str], what: str) -> list[str]:
    """A note of names that have no partner: ``what`` says in which way, after their number."""
    names = list(left)
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return [f"{len(names)} {what}: {shown}"] if names else []


def of_calibrated_size(
    cameras: Sequence[SessionCamera], footage: Footage, where: object
) -> tuple[list[SessionCamera], Footage, list[str]]:
    """Cameras whose recordings are of the size that they were calibrated at, their footage, and notes of the others.

    Raises:
        CalibrationError: there is none.
    """

    def check(name: str) -> SessionCamera:
        camera = of_name[name]
        check_calibrated_size(name, (camera.width, camera.height), footage.sizes[name], where)
        return camera

    of_name = {camera.name: camera for camera in cameras}
    found, notes = read_each(of_name, check)
    return list(found.values()), footage_of(footage, found), notes


def footage_of(footage: Footage, names: Collection[str]) -> Footage:
    """What some of the cameras recorded; moments that none of them recorded are left out."""
    parts = [
        Frame(frame.index, {name: source for name, source in frame.sources.items() if name in names})
        for frame in footage.frames
    ]
    # videos/CAM.mp4, images/CAM/FRAME.jpg
    owners = {
        target: path.stem if len((path := PurePosixPath(target)).parts) == 2 else path.parts[1]
        for target in footage.files
    }
    return replace(
        footage,
        sizes={name: size for name, size in footage.sizes.items() if name in names},
        frames=tuple(frame for frame in parts if frame.sources),
        files={target: path for target, path in footage.files.items() if owners[target] in names},
    )
