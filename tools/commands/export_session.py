"""`simulacra export-session`: a session for COLMAP or nerfstudio."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from simulacra.render.runtime.errors import ConfigError

from .arguments import Session, check_folder
from .evaluate import FrameNumber
from .outputs import NewFolder

if TYPE_CHECKING:
    from simulacra.recon.session import Session as Recorded


def export_session(
    session: Session,
    /,
    to: Literal["colmap", "nerfstudio"],
    out: NewFolder,
    distorted: bool = False,
    without: Annotated[tuple[str, ...], arg(metavar="CAM [CAM ...]")] = (),
    frame: Annotated[FrameNumber | None, arg(metavar="N")] = None,
) -> None:
    """Write a session for another program: cameras, pictures, masks, and depth for nerfstudio.

    `simulacra import` reads it back as it was: colmap with --scale 1 --world-up +y --layout cameras, nerfstudio
    with --scale 1 --world-up +z.

    Args:
        session: the folder that `simulacra import` made.
        to: the program.
        out: the folder to write, new or empty.
        distorted: keep the lens in the pictures, and its model in the calibration.
        without: leave these cameras out: those that another trainer is to be judged by.
        frame: this moment only, as programs that train a static scene want it.
    """
    from simulacra.recon.export_session import export_session as run
    from simulacra.recon.session import load_session

    check_folder(out, "what is written")
    written = run(_part_of(load_session(session), without, frame), to, out, distorted=distorted)
    print(f"{out}: {len(written)} pictures")


def _part_of(session: Recorded, without: tuple[str, ...], frame: int | None) -> Recorded:
    """The session as if there were no such cameras and no other moments."""
    unknown = [name for name in without if name not in session.camera_names]
    if unknown or len(set(without)) == len(session.cameras):
        raise ConfigError(
            "cameras to be left out are some of the session's",
            where=f"--without {' '.join(without)}",
            expected=f"some of {', '.join(session.camera_names)}",
        )
    if without:
        session = session.with_cameras([name for name in session.camera_names if name not in without])
    if frame is None:
        return session
    frames = tuple(each for each in session.frames if each.index == frame)
    if not frames:
        raise ConfigError(
            "the session has no such frame",
            where=f"--frame {frame}",
            expected=f"{session.frames[0].index} to {session.frames[-1].index}",
        )
    return replace(session, frames=frames)
