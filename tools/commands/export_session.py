"""`simulacra export-session`: a session for COLMAP or nerfstudio."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .arguments import Session, check_folder


def export_session(
    session: Session, /, to: Literal["colmap", "nerfstudio"], out: Path, distorted: bool = False
) -> None:
    """Write a session for another program: cameras, pictures, masks, and depth for nerfstudio.

    `simulacra import` reads it back as it was: colmap with --scale 1 --world-up +y --layout cameras, nerfstudio
    with --scale 1 --world-up +z.

    Args:
        session: the folder that `simulacra import` made.
        to: the program.
        out: the folder to write, new or empty.
        distorted: keep the lens in the pictures, and its model in the calibration.
    """
    from simulacra.recon.export_session import export_session as run
    from simulacra.recon.session import load_session

    check_folder(out, "what is written")
    written = run(load_session(session), to, out, distorted=distorted)
    print(f"{out}: {len(written)} pictures")
