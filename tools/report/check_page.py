"""`check.html`: the checks of a session with pictures of what was seen, in one file that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.preflight import CODES, Inspection, Preflight
from simulacra.recon.preflight.codes import FAULTS
from simulacra.recon.preflight.verdict import as_sentence, judge_session
from simulacra.recon.session import load_session
from simulacra.render.runtime.errors import UserError

from .check_pictures import as_data, camera_picture, depth_picture
from .html_page import write_page


def write_check_page(path: Path, session: Path, record: Preflight, seen: Inspection | None) -> Path:
    """Writes the page atomically.

    Args:
        seen: what the record was made of; None where the session could not be loaded.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    order = {"fail": 0, "warn": 1, "pass": 2}
    return write_page(
        path,
        "check.html",
        (),
        name=session.resolve().name,
        checks=sorted(record.checks, key=lambda check: order[check.status]),
        counts={status: sum(c.status == status for c in record.checks) for status in order},
        meanings=CODES,
        faults=FAULTS,
        sentence=as_sentence,
        verdict=judge_session(record),
        notes=record.notes,
        cameras=_cameras(session, record, seen) if seen is not None else [],
        pair=_pair(seen),
    )


def _pair(seen: Inspection | None) -> tuple[str, str] | None:
    """The two cameras whose views meet worst."""
    if seen is None or seen.consistency is None or not np.isfinite(seen.consistency.pairs).any():
        return None
    pairs = seen.consistency.pairs
    i, j = divmod(int(np.nanargmax(pairs)), len(pairs))
    names = seen.consistency.motion.views.names
    return names[i], names[j]


def _cameras(session: Path, record: Preflight, seen: Inspection) -> list[dict[str, Any]]:
    loaded = load_session(session)
    pair = _pair(seen)
    known = any(check.code == "storage" for check in record.failed())
    found = []
    for name in loaded.camera_names:
        partner = {pair[0]: pair[1], pair[1]: pair[0]}.get(name) if pair is not None else None
        picture = camera_picture(loaded, seen, name, partner)
        stills = seen.samples.stills
        try:
            depth = depth_picture(loaded, stills[len(stills) // 2], name)
        except UserError:
            if not known:  # one that was whole when it was checked would be missing in silence
                raise
            depth = None
        about = [c for c in record.checks if c.status != "pass" and name in c.places]
        found.append(
            {
                "name": name,
                "picture": as_data(picture) if picture is not None else "",
                "depth": as_data(depth) if depth is not None else "",
                "checks": about,
                "partner": partner,
            }
        )
    return found
