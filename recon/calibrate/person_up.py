"""What somebody who is in the pictures of a calibrated rig says of up, where its cameras do not say it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from simulacra.recon.calibrate.recordings import RecordedFrame
from simulacra.recon.calibrate.solve import RigCalibration
from simulacra.recon.importers.footage import Footage
from simulacra.recon.multiview.up import UpVote
from simulacra.recon.session import Frame, Lens, SessionCamera, Source


def rig_cameras(calibration: RigCalibration) -> list[SessionCamera]:
    """A calibrated rig's cameras in its own world."""
    rig = calibration.bundle.rig
    return [
        SessionCamera(
            name,
            width,
            height,
            K,
            viewmat,
            Lens("opencv", tuple(own[4:].tolist())) if own[4:].any() else None,
        )
        for name, (width, height), K, viewmat, own in zip(
            calibration.cameras, calibration.sizes, rig.Ks, rig.viewmats, rig.intrinsics, strict=True
        )
    ]


def person_in_pictures(calibration: RigCalibration, pictures: Mapping[str, RecordedFrame]) -> UpVote | None:
    """Up by a person in a picture of each camera, who holds a board or moves; None where too few cameras see one.

    Args:
        pictures: of the cameras by their names; about one moment.
    """
    from simulacra.recon.importers.standing import person_vote  # networks: only where they are needed

    files: dict[str, Path] = {name: picture.file for name, picture in pictures.items()}
    sources = {name: Source(name, picture.number) for name, picture in pictures.items()}
    sizes = dict(zip(calibration.cameras, calibration.sizes, strict=True))
    return person_vote(rig_cameras(calibration), Footage(sizes, (Frame(0, sources),), files))


def middle_pictures(recorded: Mapping[str, tuple[RecordedFrame, ...]]) -> dict[str, RecordedFrame]:
    """One picture of each camera, from the middle of its recording."""
    return {name: pictures[len(pictures) // 2] for name, pictures in recorded.items() if pictures}
