"""A captured session. Read `description` (session.json, and what is refused), then `record` (readers of pictures,
masks, depth).

`lens` undistorts, `video` decodes frames by number, `reference` has joints measured another way, `truth` what is
known of a virtual capture, which nothing that fits may read.
"""

from simulacra.recon.runs.run_folder import SESSION_FILE
from simulacra.recon.session.description import (
    ROTATION_TOLERANCE,
    SCHEMA,
    check_camera,
    describe_session,
    load_session,
)
from simulacra.recon.session.lens import Lens, LensModel, check_lens
from simulacra.recon.session.record import Frame, Session, SessionCamera, Source

__all__ = [
    "ROTATION_TOLERANCE",
    "SCHEMA",
    "SESSION_FILE",
    "Frame",
    "Lens",
    "LensModel",
    "Session",
    "SessionCamera",
    "Source",
    "check_camera",
    "check_lens",
    "describe_session",
    "load_session",
]
