"""An adjusted rig for people and for programs: a table, a new session, and a JSON file beside it.

The JSON is a `calibration.json` (see `recon.calibrate.files`): `simulacra calibrate apply` lays the rig over another
session of the same cameras. Cameras with a lens that it cannot hold have no `distortion` in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from rich.console import Console
from rich.table import Table

from simulacra.recon.calibrate.files import SCHEMA, session_with_cameras
from simulacra.recon.calibrate.held_out import Comparison
from simulacra.recon.calibrate.joint import UNFIXED, AdjustedRig
from simulacra.recon.calibrate.session_rig import adjusted_cameras, is_plain
from simulacra.recon.multiview.prior import Prior
from simulacra.recon.runs.files import disk_errors, write_json
from simulacra.recon.session import Session
from simulacra.render.runtime.errors import RunError


def report_file(out: Path) -> Path:
    """Beside the new session, so that it is not taken for a part of it."""
    return out.with_name(f"{out.name}.calibration.json")


def write_adjusted(found: AdjustedRig, session: Session, out: Path) -> tuple[Session, Path]:
    """A new session with the adjusted cameras, and the report beside it; nothing is overwritten.

    Raises:
        RunError: there is something at either place.
    """
    path = report_file(out)
    if path.exists():
        raise RunError("there is something already", where=path, remedy="name a new folder for the session")
    cameras = adjusted_cameras(session.cameras, found.rig)
    seen = [
        name for name, there in (("boards", found.boards), ("a person", found.noise)) if there is not None
    ]
    notes = [*session.notes, f"cameras are adjusted on {' and '.join(seen)}; see {path.name}"]
    made = session_with_cameras(session, cameras, out, notes)
    with disk_errors(path):
        write_json(path, describe_adjusted(found, session))
    return made, path


def describe_adjusted(found: AdjustedRig, session: Session) -> dict[str, Any]:
    """All of it as plain data, cameras in the session's conventions; not known is null."""
    return {
        "schema": SCHEMA,
        "units": "metres",
        "posed": True,
        "cameras": [_camera(found, session, camera) for camera in range(len(found.cameras))],
        "left_out": {
            "frames": _comparison(found.frames),
            "parts_of_the_body": _comparison(found.parts),
            "boards": _comparison(found.boards),
        },
        "scale": found.scale,
        "detector": None
        if found.noise is None
        else {
            "landmark_m": found.noise.landmark_m.tolist(),
            "confidence_edges": found.noise.edges.tolist(),
            "confidence_factors": found.noise.factors.tolist(),
            "frames_worth_one": found.noise.repeat,
            "landmarks_worth_one": found.noise.alike.tolist(),
        },
        "notes": remarks(found),
    }


def print_adjusted(found: AdjustedRig, console: Console | None = None) -> None:
    """The table for the terminal; residuals are of what was left out."""
    console = console or Console()
    table = Table(box=None, padding=(0, 1))
    for heading in ("camera", "turned, deg", "moved, mm", "focal, %", "landmarks, px", "boards, px"):
        table.add_column(heading, justify="left" if heading == "camera" else "right", no_wrap=True)
    for camera, name in enumerate(found.cameras):
        table.add_row(name, *_row(found, camera))
    console.print(table)
    for said, each in _kinds(found):
        if each is not None:
            console.print(f"{said} left out: {each.said}", highlight=False, markup=False)
    for note in remarks(found):
        console.print(f"note: {note}", highlight=False, markup=False)


def remarks(found: AdjustedRig) -> list[str]:
    """In words: where the world is from, what rests on belief, what is odd."""
    said = []
    if found.boards is not None:
        said.append(f"the scale is the boards': {found.scale:.4f} of the given; floor and up stay as given")
    else:
        said.append("scale, floor and up stay as given: a person's landmarks have none")
    if found.noise is None:
        said.append("boards alone: no person was seen by several cameras in enough frames")
    if not found.belief.free_focal:
        said.append("standard errors take the focal lengths as given")
    turn, place = (np.linalg.norm(each, axis=-1) for each in changes(found))
    errors, before = (np.linalg.norm(each.centres_m, axis=-1) for each in (found.errors, found.believed))
    guessed = _names(found, errors > UNFIXED * before)
    if guessed:
        said.append(f"positions are mostly the given ones, for what was seen hardly fixes them: {guessed}")
    far = _names(found, (turn > 3 * found.belief.turn_deg) | (place > 4 * found.belief.place_m))
    if far:
        said.append(f"further off than was believed possible; check that it is the right camera: {far}")
    for name, each in _kinds(found):
        if each is not None and each.worse:
            said.append(f"{name} that were left out agree less with the adjusted rig: {each.said}")
    late = [f"{n} {lag:+.1f}" for n, lag in zip(found.cameras, found.lags, strict=True) if lag]
    if late:
        said.append(f"clocks were aligned before, frames: {', '.join(late)}")
    if found.noise is not None:
        worth = found.looked / found.noise.repeat
        said.append(f"the detector errs alike in time: {found.looked} frames count as {worth:.1f}")
    return said


def changes(found: AdjustedRig) -> tuple[Float[np.ndarray, "c 3"], Float[np.ndarray, "c 3"]]:
    """Turns about the cameras' own axes, degrees, and shifts in the world, metres, from given to adjusted."""
    before = Prior(found.given, 1.0, 1.0)
    rows = np.stack([before.apart(found.rig, camera) for camera in range(len(found.cameras))])
    return np.degrees(rows[:, 2:5]), rows[:, 5:]


def _names(found: AdjustedRig, chosen: Bool[np.ndarray, " c"]) -> str:
    return ", ".join(name for name, there in zip(found.cameras, chosen, strict=True) if there)


def along(vector: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Length of a vector, and its standard error: of the components, by how much each is of the length."""
    length = float(np.linalg.norm(vector))
    weights = (vector / length) ** 2 if length > 0 else np.full(len(vector), 1 / len(vector))
    return length, float(np.sqrt(weights @ errors**2))


def _kinds(found: AdjustedRig) -> Sequence[tuple[str, Comparison | None]]:
    return (("frames", found.frames), ("parts of the body", found.parts), ("boards", found.boards))


def _row(found: AdjustedRig, camera: int) -> list[str]:
    turn, place = changes(found)
    turned = along(turn[camera], found.errors.rotations_deg[camera])
    moved = along(1e3 * place[camera], 1e3 * found.errors.centres_m[camera])
    focal, error = _focal(found, camera)
    return [
        f"{turned[0]:.2f} ± {turned[1]:.2f}",
        f"{moved[0]:.1f} ± {moved[1]:.1f}",
        f"{100 * focal:+.2f} ± {100 * error:.2f}" if error > 0 else "as given",
        *(
            f"{each.before[camera]:.2f} -> {each.after[camera]:.2f}" if each is not None else "-"
            for each in (found.frames, found.boards)
        ),
    ]


def _focal(found: AdjustedRig, camera: int) -> tuple[float, float]:
    given = found.given.intrinsics[camera, :2]
    change = float((found.rig.intrinsics[camera, :2] / given - 1).mean())
    return change, float((found.errors.intrinsics[camera, :2] / given).max())


def _camera(found: AdjustedRig, session: Session, camera: int) -> dict[str, Any]:
    own, errors = session.cameras[camera], found.errors
    turn, place = changes(found)
    focal, focal_error = _focal(found, camera)
    lens = found.rig.intrinsics[camera, 4:].tolist()
    return {
        "name": own.name,
        "width": own.width,
        "height": own.height,
        "K": found.rig.Ks[camera].tolist(),
        **({"distortion": lens} if is_plain(own.lens) else {}),
        "viewmat": found.rig.viewmats[camera].tolist(),
        "centre_m": found.rig.centres[camera].tolist(),
        "turn_deg": turn[camera].tolist(),
        "moved_m": place[camera].tolist(),
        "focal_change": focal,
        "standard_errors": {
            "rotation_deg": errors.rotations_deg[camera].tolist(),
            "centre_m": errors.centres_m[camera].tolist(),
            "focal": focal_error,
        },
        "believed_before": {
            "rotation_deg": found.believed.rotations_deg[camera].tolist(),
            "centre_m": found.believed.centres_m[camera].tolist(),
        },
        "lag_frames": float(found.lags[camera]),
        "fitted_px": {
            name: None if each is None else [_number(each.before[camera]), _number(each.after[camera])]
            for name, each in zip(("landmarks", "boards"), found.fitted, strict=True)
        },
    }


def _comparison(each: Comparison | None) -> dict[str, Any] | None:
    if each is None:
        return None
    return {
        "before_px": [_number(value) for value in each.before],
        "after_px": [_number(value) for value in each.after],
        "total_px": [_number(value) for value in each.total],
        "gain": each.gain,
        "gain_error": _number(each.error),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
