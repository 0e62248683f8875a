"""Is this capture usable? Every check has a code, a measure, a limit, and one line on what to do.

A preflight is quick: it reads the description, and a few frames of each camera. What cannot be read at all raises at
once; what can be read and is wrong is a failed check, which stops a reconstruction unless its code is to be ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

from recon.preflight.geometry import check_cameras, check_frames
from recon.preflight.pictures import check_pictures
from recon.preflight.record import (
    CODES,
    Check,
    Preflight,
    PreflightConfig,
    Status,
    load_preflight,
    save_preflight,
)
from recon.session import Session
from render.errors import CaptureError

__all__ = [
    "CODES",
    "Check",
    "Preflight",
    "PreflightConfig",
    "Status",
    "load_preflight",
    "preflight",
    "save_preflight",
]


def preflight(
    session: Session, cameras: Sequence[str] | None = None, settings: PreflightConfig | None = None
) -> Preflight:
    """Checks a session.

    Args:
        cameras: those to be looked at; all if None.
        settings: how many frames are read.

    Returns:
        all checks, passed or not; ``raise_on_fail`` stops on failed ones.

    Raises:
        InputError: a file is missing, unreadable or of another size than its camera.
        CaptureError: those cameras recorded nothing.
    """
    settings = settings or PreflightConfig()
    looked_at = session if cameras is None else session.with_cameras(cameras)
    if not looked_at.frames:
        raise CaptureError(
            "there is no frame to be used",
            where=session.root,
            expected="a frame of a camera that is not held out",
            found=f"cameras {', '.join(looked_at.camera_names) or 'none'}",
        )
    checks = check_frames(looked_at) + check_cameras(looked_at) + check_pictures(looked_at, settings.frames)
    return Preflight(tuple(checks), session.notes)
