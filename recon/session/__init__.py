"""A captured session: its records and readers (`record`), and its description on disk (`description`)."""

from recon.session.description import (
    ROTATION_TOLERANCE,
    SCHEMA,
    check_camera,
    describe_session,
    load_session,
)
from recon.session.record import SESSION_FILE, Frame, Lens, Session, SessionCamera, Source

__all__ = [
    "ROTATION_TOLERANCE",
    "SCHEMA",
    "SESSION_FILE",
    "Frame",
    "Lens",
    "Session",
    "SessionCamera",
    "Source",
    "check_camera",
    "describe_session",
    "load_session",
]
