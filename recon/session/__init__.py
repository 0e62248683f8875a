"""A captured session: its records and readers (`record`), lenses (`lens`), its description on disk (`description`)."""

from simulacra.recon.session.description import (
    ROTATION_TOLERANCE,
    SCHEMA,
    check_camera,
    describe_session,
    load_session,
)
from simulacra.recon.session.lens import Lens, LensModel, check_lens
from simulacra.recon.session.record import SESSION_FILE, Frame, Session, SessionCamera, Source

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
