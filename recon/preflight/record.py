"""What a preflight says: checks with a stable code, what was measured, the limit, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from recon.configuration import config
from recon.stage import read_json, write_json
from render.errors import CaptureError, ConfigError

Status = Literal["pass", "warn", "fail"]
PREFLIGHT_FILE = "preflight.json"
# Codes never change their meaning: people write them into configurations and scripts.
CODES = {
    "cameras": "how many cameras there are: without depth, one cannot place anything",
    "frames": "how many frames were recorded",
    "missing-frames": "the largest share of frames that a camera missed",
    "timestamps": "times of a camera that do not rise",
    "synchrony": "how far apart cameras recorded one frame, in frame intervals",
    "focal": "horizontal field of view",
    "pixel-aspect": "ratio of the two focal lengths",
    "principal-point": "distance of the principal point from the image's middle, in image widths",
    "rotation": "how far a camera's rotation is from rigid",
    "lens": "whether the lens model can be inverted over the whole image",
    "camera-distance": "largest distance between two cameras",
    "camera-apart": "smallest distance between two cameras",
    "up-axis": "angle between the cameras' mean up and +Y",
    "camera-height": "height of the lowest camera over the floor",
    "image-size": "images that were read and are of their camera's size",
    "exposure": "mean brightness of the person, or of the image without a mask",
    "person-visible": "share of the image that the person's mask takes",
    "person-in-frame": "share of the image's border that the person's mask touches",
    "stature": "height of the person in one camera's depth",
    "depth-agreement": "median difference of two cameras' depths at one point",
    "depth-overlap": "share of a camera's points that its neighbours confirm",
    "mask-agreement": "share of a camera's points of the person inside the other cameras' masks, and theirs in its",
}


@config
class PreflightConfig:
    """How a session is checked before it is used.

    Attributes:
        ignore: codes of checks whose failure does not stop a reconstruction.
        frames: so many frames are looked at, spread over the session.
    """

    ignore: tuple[str, ...] = ()
    frames: int = 3

    def __post_init__(self) -> None:
        for code in self.ignore:
            if code not in CODES:
                near = difflib.get_close_matches(code, CODES, 1)
                raise ConfigError(
                    "a check to be ignored does not exist",
                    where="preflight.ignore",
                    expected=", ".join(CODES),
                    found=code,
                    remedy=f"perhaps {near[0]}" if near else None,
                )
        if self.frames < 1:
            raise ConfigError(
                "the checks need a frame", where="preflight.frames", expected=">= 1", found=self.frames
            )


@dataclass(frozen=True)
class Check:
    """One thing that was measured.

    Attributes:
        code: of ``CODES``.
        where: the camera or frames that the measure is about: the worst ones.
        measured: in ``unit``. limit: what is wanted, in words.
        remedy: what to do where it is not met.
    """

    code: str
    where: str
    measured: float
    unit: str
    limit: str
    status: Status
    remedy: str

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"no such check: {self.code}")

    def line(self) -> str:
        """The check in one line."""
        return f"{self.status:4s} {self.code}: {self.measured:.4g} {self.unit} ({self.limit}) {self.where}".strip()


@dataclass(frozen=True)
class Preflight:
    """All checks of a session, and what its importer had to say."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    def of(self, code: str) -> tuple[Check, ...]:
        """The checks of one code; none where there was nothing to measure."""
        return tuple(check for check in self.checks if check.code == code)

    def failed(self, ignore: Sequence[str] = ()) -> tuple[Check, ...]:
        """Failed checks, but for those to be ignored."""
        return tuple(check for check in self.checks if check.status == "fail" and check.code not in ignore)

    def raise_on_fail(self, ignore: Sequence[str] = ()) -> None:
        """Stops at a capture that cannot be used.

        Raises:
            CaptureError: naming the failed checks, what was measured, and what to do.
        """
        failed = self.failed(ignore)
        if not failed:
            return
        codes = ", ".join(dict.fromkeys(check.code for check in failed))
        remedies = list(dict.fromkeys(check.remedy for check in failed))
        raise CaptureError(
            f"the capture fails its checks: {codes}",
            where="; ".join(dict.fromkeys(check.where for check in failed)),
            expected="; ".join(f"{check.code} {check.limit}" for check in failed),
            found="; ".join(f"{check.code} {check.measured:.3g} {check.unit}".strip() for check in failed),
            remedy=f"{'; '.join(remedies)}; or go on regardless: preflight.ignore [{codes}]",
        )


def save_preflight(folder: Path, record: Preflight) -> None:
    """Writes ``preflight.json``."""
    write_json(folder / PREFLIGHT_FILE, asdict(record))


def load_preflight(folder: Path) -> Preflight:
    """Reads ``preflight.json`` back."""
    described = read_json(folder / PREFLIGHT_FILE)
    return Preflight(tuple(Check(**check) for check in described["checks"]), tuple(described["notes"]))
