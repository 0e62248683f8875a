"""Checks of files: whether they are whole, and whether pictures are of the size that was calibrated."""

from __future__ import annotations

import re

from simulacra.recon.preflight.reading import Problems
from simulacra.recon.preflight.record import Check
from simulacra.recon.preflight.samples import SessionSamples
from simulacra.recon.session import Session

# What importers note of a picture that is not of the calibrated size and is used all the same.
SIZE_NOTE = re.compile(
    r"^(?P<camera>\S+): calibrated at (?P<calibrated>\d+x\d+), its video is (?P<found>\d+x\d+)"
)
MOST_SAID = 3


def check_storage(problems: Problems, files: int) -> list[Check]:
    """One check: how many files cannot be used."""
    found = [p for p in problems.found.values() if p.code != "image-size"]
    cameras = ", ".join(dict.fromkeys(problem.camera for problem in found))
    return [
        Check(
            "storage", cameras or "session", float(len(found)), f"of {files} files", "0",
            "fail" if found else "pass", "copy the files again from the source, and import again",
            "; ".join(problem.said for problem in found[:MOST_SAID])
            + (f"; and {len(found) - MOST_SAID} more" if len(found) > MOST_SAID else ""),
        )
    ]  # fmt: skip


def check_sizes(session: Session, problems: Problems, samples: SessionSamples) -> list[Check]:
    """Pictures of another size than their camera, or than it was calibrated at, by the importer's notes."""
    wrong = [p for p in problems.found.values() if p.code == "image-size"]
    noted = [
        m for note in session.notes if (m := SIZE_NOTE.match(note)) and m["camera"] in session.camera_names
    ]
    read = sum(len(camera.stills) + len(camera.thumbs) for camera in samples.cameras)
    # An importer's note is a doubt; a file that is not of its camera's size is beyond one.
    if noted and not wrong:
        worst = 0.0
        for match in noted:
            sizes = ([int(v) for v in match[key].split("x")] for key in ("calibrated", "found"))
            worst = max(worst, *(abs(b / a - 1) for a, b in zip(*sizes)))
        return [
            Check(
                "image-size", ", ".join(match["camera"] for match in noted), 100 * worst,
                "% off the calibrated size", "0", "warn",
                "were pictures cut or padded? if cut on the left or top, cx and cy must be moved by as much",
                "; ".join(f"{m['camera']} calibrated at {m['calibrated']}, recorded at {m['found']}" for m in noted),
            )
        ]  # fmt: skip
    cameras = ", ".join(dict.fromkeys(problem.camera for problem in wrong))
    return [
        Check(
            "image-size", cameras or "session", float(len(wrong) or read),
            "files of another size" if wrong else "images", "0" if wrong else "all", "fail" if wrong else "pass",
            "import images and calibration of one recording", "; ".join(p.said for p in wrong[:MOST_SAID]),
        )
    ]  # fmt: skip
