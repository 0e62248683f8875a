"""What the preflight sees in a capture, painted on its pictures: made on demand, in a thread. This imports torch."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.preflight import Inspection, PreflightConfig, inspect
from simulacra.recon.preflight.codes import FAULTS
from simulacra.recon.preflight.verdict import judge_session
from simulacra.recon.session import Session, load_session
from simulacra.render.runtime.errors import InputError, UserError

from ..report.check_pictures import camera_picture

# As `simulacra check` looks.
SETTINGS = PreflightConfig(frames=3, motion_frames=100)


class CaptureInspections:
    """Inspections of captures, each made once for each state of its description."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[Path, str], tuple[Session, Inspection] | UserError | None] = {}

    def start(self, root: Path, stamp: str) -> None:
        """Begins to look, unless it has begun."""
        key = (root, stamp)
        with self._lock:
            if key in self._found:
                return
            self._found = {key: None}  # the pictures of one capture are held at a time
        threading.Thread(target=self._look, args=(key,), daemon=True).start()

    def state(self, root: Path, stamp: str) -> dict[str, Any]:
        """`working`, `failed` with lines, or `done` with the verdict and what is doubtful."""
        with self._lock:
            if (root, stamp) not in self._found:
                return {"state": "idle"}
            found = self._found[root, stamp]
        if found is None:
            return {"state": "working"}
        if isinstance(found, UserError):
            return {"state": "failed", "lines": found.lines()}
        record = found[1].record
        verdict = judge_session(record)
        doubtful = [c for status in ("fail", "warn") for c in record.checks if c.status == status]
        return {
            "state": "done",
            "usable": verdict.usable,
            "sentence": verdict.sentence,
            "do": verdict.do,
            "checks": [
                {
                    "code": c.code,
                    "status": c.status,
                    "where": c.where,
                    "fault": FAULTS[c.code],
                    "measure": c.measure(),
                    "limit": c.limit,
                    "remedy": c.remedy,
                }
                for c in doubtful
            ],
        }

    def picture(self, root: Path, stamp: str, camera: str) -> np.ndarray:
        """A picture of a camera with outlines, landmarks, where the other cameras put them, and epipolar lines.

        Raises:
            InputError: it has not been looked at, or none of its pictures could be read.
        """
        with self._lock:
            found = self._found.get((root, stamp))
        if not isinstance(found, tuple):
            raise InputError("the capture has not been inspected yet", where=root)
        session, seen = found
        if camera not in session.camera_names:
            raise InputError("the capture has no such camera", found=camera)
        picture = camera_picture(session, seen, camera, _worst_partner(seen, camera))
        if picture is None:
            raise InputError("no picture of this camera could be read", found=camera)
        return picture

    def _look(self, key: tuple[Path, str]) -> None:
        found: tuple[Session, Inspection] | UserError
        try:
            session = load_session(key[0])
            found = session, inspect(session, settings=SETTINGS)
        except UserError as error:
            found = error
        except OSError as error:  # deleted meanwhile
            found = InputError("the capture cannot be read", where=key[0], found=error.strerror)
        with self._lock:
            if key in self._found:
                self._found[key] = found


def _worst_partner(seen: Inspection, camera: str) -> str | None:
    """The camera whose view agrees least with this one's."""
    if seen.consistency is None:
        return None
    names = seen.consistency.motion.views.names
    if camera not in names:
        return None
    row = seen.consistency.pairs[names.index(camera)]
    return None if not np.isfinite(row).any() else str(names[int(np.nanargmax(row))])
