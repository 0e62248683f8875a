"""`simulacra bench length`: whether long captures cost more than their length, in memory and in time, at every stage.

A short clip is repeated forwards and backwards, as links to the same files, to captures of as many frames as are asked
for. Each goes the way of any capture, from the import to the report, every stage in a process of its own. A peak is all
that the process held, and a time all that it took, with opening the session and the records that the stage reads. Only
the networks of the observe stage are asked once for each picture of the clip: they look at every frame by itself, and
would take nearly all of the time.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from simulacra.recon.importers.opencv_yaml import import_opencv_yaml
from simulacra.recon.importers.options import OpencvYamlOptions
from simulacra.recon.observe import chosen, over_session
from simulacra.recon.pipeline import ReconstructionConfig, StageLog, protocol_of, reconstruct, run_stages
from simulacra.recon.preflight import CODES
from simulacra.recon.runs.configuration import changed_config
from simulacra.recon.runs.run_folder import open_run
from simulacra.recon.session import Session, load_session
from simulacra.render.runtime.errors import InputError

from ..report.write import write_run_report
from ..virtual.capture import record_session
from ..virtual.config import VirtualCaptureConfig
from .memory import resident_mb
from .printing import Column, print_rows

STAGES = ("import", "preflight", "observe", "fit", "avatar", "evaluate", "report")
CLIP: dict[str, Any] = {
    "motion": {"name": "walk"},
    "rig": {"count": 4, "width": 192, "height_px": 256},
    "frames": 20,
    "true_pictures": False,
}
# As little work a frame as goes: what is measured is what grows with the number of frames.
SETTINGS: dict[str, Any] = {
    "views": {"held_out_every": 50},
    "preflight": {"ignore": list(CODES), "frames": 2, "motion_frames": 4},
    "observe": {"looks": 1, "hands": False},
    "fit": {"iterations": 1, "rounds": 1, "keyframe_seconds": 0.5, "mask_side": 64},
    "avatar": {"steps": 20, "longest_side": 128, "count": 2000, "align_steps": 0},
    "evaluate": {"view": {"longest_side": 96}, "pictures": 2, "turntable": 2},
}
FPS = 30.0


@dataclass(frozen=True)
class LengthRow:
    """One stage at one length.

    Attributes:
        seconds: wall time.
        of_1000: of a thousand frames.
        peak_mb: resident memory at its most, MiB.
        growth_mb: what a thousand frames more than at the length before added to it; None at the first length.
    """

    stage: str
    frames: int
    seconds: float
    of_1000: float
    peak_mb: float
    growth_mb: float | None


COLUMNS = (
    Column("stage", lambda row: row.stage, "left"),
    Column("frames", lambda row: f"{row.frames:,}"),
    Column("s", lambda row: f"{row.seconds:.1f}"),
    Column("s / 1,000 frames", lambda row: f"{row.of_1000:.1f}"),
    Column("peak MiB", lambda row: f"{row.peak_mb:.0f}"),
    Column("MiB / 1,000 more", lambda row: "" if row.growth_mb is None else f"{row.growth_mb:+.1f}"),
)


def run(
    *, frames: Sequence[int] = (1000, 3000, 10_000), clip: Path | None = None, as_json: bool = False
) -> list[LengthRow]:
    """Measures captures of these lengths and prints a table or JSON lines.

    Args:
        frames: of the captures, rising.
        clip: a session whose pictures are repeated; a virtual person who walks if None.

    Raises:
        InputError: the clip is of videos.
    """
    rows: list[LengthRow] = []
    with tempfile.TemporaryDirectory(prefix="length.") as name:
        if clip is None:
            clip = Path(name) / "clip"
            record_session(changed_config(VirtualCaptureConfig(), CLIP, "the clip"), clip)
        for count in frames:
            folder = Path(name) / str(count)
            write_capture(load_session(clip), folder / "capture", count)
            for stage in STAGES:
                rows.append(_row(stage, count, *_measure(stage, folder), rows))
                if not as_json:
                    print_rows(rows[-1:], COLUMNS, f"{stage}, {count:,} frames", as_json)
    print_rows(rows, COLUMNS, "Captures of four cameras, stage by stage", as_json)
    return rows


def _row(stage: str, frames: int, seconds: float, peak_mb: float, rows: Sequence[LengthRow]) -> LengthRow:
    shorter = [row for row in rows if row.stage == stage]
    growth = None
    if shorter:
        growth = 1000 * (peak_mb - shorter[-1].peak_mb) / (frames - shorter[-1].frames)
    return LengthRow(stage, frames, seconds, 1000 * seconds / frames, peak_mb, growth)


def write_capture(clip: Session, folder: Path, count: int) -> None:
    """A capture as EasyMocap has them, of so many frames: the clip's, forwards and backwards, as hard links.

    Raises:
        InputError: the clip is of videos, or of pictures with a lens.
    """
    turn = [*range(len(clip.frames)), *range(len(clip.frames) - 2, 0, -1)]
    folder.mkdir(parents=True)
    intri, extri = (
        cv2.FileStorage(str(folder / name), cv2.FILE_STORAGE_WRITE) for name in ("intri.yml", "extri.yml")
    )
    for camera in clip.cameras:
        K = camera.K.copy()
        K[:2, 2] -= 0.5
        intri.write(f"K_{camera.name}", K)
        intri.write(f"W_{camera.name}", float(camera.width))
        intri.write(f"H_{camera.name}", float(camera.height))
        extri.write(f"Rot_{camera.name}", camera.viewmat[:3, :3].copy())
        extri.write(f"T_{camera.name}", camera.viewmat[:3, 3:].copy())
        (folder / "images" / camera.name).mkdir(parents=True)
        for number in range(count):
            source = clip.frames[turn[number % len(turn)]].sources[camera.name]
            if source.number is not None or camera.lens is not None:
                raise InputError("the clip is not of pinhole pictures", where=clip.root, found=source.file)
            path = clip.path(source.file)
            os.link(path, folder / "images" / camera.name / f"{number:06d}{path.suffix}")
    intri.release()
    extri.release()


def _measure(stage: str, folder: Path) -> tuple[float, float]:
    """Seconds and MiB of one stage, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(theirs, stage, folder))
    child.start()
    theirs.close()
    try:
        seconds, peak_mb = ours.recv()
    finally:
        child.join()
    return float(seconds), float(peak_mb)


def _work(answer: Connection, stage: str, folder: Path) -> None:
    begun = time.perf_counter()
    if stage == "import":
        options = OpencvYamlOptions(units="m", world_up="+y", floor=0.0, fps=FPS)
        import_opencv_yaml(folder / "capture", folder / "session", options)
    else:
        _remember_networks()
        _reconstruct_up_to(stage, folder / "session", folder / "run")
    answer.send((time.perf_counter() - begun, resident_mb("VmHWM")))


def _remember_networks() -> None:
    """Has this process ask the networks once for each picture."""
    pose, face = over_session.PoseNetwork, over_session.FaceNetwork
    over_session.PoseNetwork = type("Pose", (pose,), {"find": _once(pose.find)})  # type: ignore[misc,assignment]
    over_session.FaceNetwork = type("Face", (face,), {"__call__": _once(face.__call__)})  # type: ignore[misc,assignment]
    chosen.predict_repeatedly = _once(chosen.predict_repeatedly)


def _once(ask: Callable[..., Any]) -> Callable[..., Any]:
    """The same answer for the same picture, the second argument."""
    answers: dict[bytes, Any] = {}

    def remembered(network: Any, image: np.ndarray, *arguments: Any, **options: Any) -> Any:
        key = hashlib.sha256(image.tobytes()).digest()
        if key not in answers:
            answers[key] = ask(network, image, *arguments, **options)
        return answers[key]

    return remembered


class _Reached(Exception):
    """The stage that is measured is done."""


class _StopAfter(StageLog):
    """Runs stages up to one; those before it are there already and are only read."""

    last = ""

    def run(self, name, *arguments):
        record = super().run(name, *arguments)
        if name == self.last:
            raise _Reached
        return record


def _reconstruct_up_to(stage: str, session_path: Path, root: Path) -> None:
    settings = changed_config(ReconstructionConfig(), SETTINGS, "the settings")
    if stage == "report":
        reconstruct(session_path, settings, root)
        write_run_report(root)
        return
    session = load_session(session_path)
    folder = open_run(root, session.fingerprint())
    log = _StopAfter(folder)
    log.last = stage
    with suppress(_Reached):
        run_stages(folder, session, settings, protocol_of(session, settings.views), log=log)
