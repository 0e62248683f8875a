"""Sound virtual sessions of all kinds of rigs: does the preflight find fault with one?

    python -m tests.recon.preflight.sound_sessions --count 200 --seed 0 --out RESULTS.jsonl [--only NUMBER ...]

Each number is one session: its rig, person, clothes, motion, room, light and sensors are drawn from the seed, within
what a careful team records: the whole person in view, enough light, cameras that see at least half a turn of each
other's side, calibrations to a tenth of a degree. A line a session is appended to the results; what is there already
is not done again. A failed check of any of them is a false alarm; warnings are counted by their code.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.preflight import inspect
from simulacra.recon.preflight.samples import NetworkPersonDetector
from simulacra.tools.virtual.capture import record_session
from simulacra.tools.virtual.config import PersonConfig, VirtualCaptureConfig
from simulacra.tools.virtual.motion import MotionConfig
from simulacra.tools.virtual.rig import RigConfig
from simulacra.tools.virtual.room import RoomConfig
from simulacra.tools.virtual.sensors.color import ColorSensor
from simulacra.tools.virtual.sensors.depth import Stereo, StructuredLight, TimeOfFlight

# Seen from its centre a person with raised arms, and what a mounting's jitter takes away.
TALL_M = 2.4
# Longer sides, pixels: of a depth camera, a webcam, a phone at half size, a machine vision camera.
SIZES = ((640, 480), (640, 640), (960, 540), (540, 960), (1024, 1024))


def draw_session(seed: int, number: int) -> VirtualCaptureConfig:
    """One sound session."""
    rng = np.random.default_rng((seed, number))
    moving = bool(rng.random() < 0.15)
    return VirtualCaptureConfig(
        person=PersonConfig(seed=int(rng.integers(1 << 30))),
        motion=MotionConfig(
            name=str(rng.choice(["stand", "walk", "range"] if moving else ["still", "stand", "walk", "range"])),  # type: ignore[arg-type]
            start_seconds=float(rng.uniform(0, 8)),
            heading=float(rng.uniform(-180, 180)) if rng.random() < 0.3 else 0.0,
        ),
        rig=_draw_rig(rng),
        room=RoomConfig(
            radius=float(rng.uniform(4.2, 6)), texture=float(rng.choice([0.0, 0.5, 1.0])),
            panels=int(rng.integers(0, 12)),
        ),
        light_seed=int(rng.integers(1 << 30)),
        color=ColorSensor(
            iso=float(rng.choice([100, 200, 400, 800])), exposure=float(rng.uniform(-0.4, 0.2)),
            denoising=float(rng.choice([0, 4])), sharpening=float(rng.choice([0, 0.5])),
        ),
        depth=[None, None, None, TimeOfFlight(), StructuredLight(), Stereo()][int(rng.integers(6))],
        frames=24 if moving else 1,
        fps=float(rng.choice([24, 30, 60])),
        readout_ms=float(rng.choice([0, 8, 16])),
        sync_ms=float(rng.choice([0, 1])),
        calibration_deg=float(rng.choice([0, 0.03, 0.1])),
        calibration_mm=float(rng.choice([0, 1, 2])),
        calibration_focal_percent=float(rng.choice([0, 0.1])),
        files="h264" if moving and rng.random() < 0.5 else str(rng.choice(["png", "jpeg"])),  # type: ignore[arg-type]
        masks=bool(rng.random() < 0.5),
        true_pictures=False,
        seed=number,
    )  # fmt: skip


def _draw_rig(rng: np.random.Generator) -> RigConfig:
    arc = bool(rng.random() < 0.4)
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    distance = float(rng.uniform(2.2, 3.4))
    # The shorter side holds the whole person.
    shorter = 2 * np.arctan(TALL_M / 2 / distance)
    longer = 2 * np.arctan(np.tan(shorter / 2) * max(width, height) / min(width, height))
    if height > width:
        longer = max(shorter, 2 * np.arctan(1.4 / 2 / distance * height / width))
    return RigConfig(
        layout="arc" if arc else "ring",
        count=int(rng.integers(3, 6) if arc else rng.integers(4, 9)),
        distance=distance,
        height=float(rng.uniform(0.8, 1.6)),
        rise=float(rng.choice([0.0, 0.4, 0.8])),
        look_at_height=float(rng.uniform(0.85, 1.0)),
        span=float(rng.uniform(70, 160)),
        width=width,
        height_px=height,
        field_of_view=float(np.degrees(longer)),
        distortion=(0.06, -0.10, 0.0, 0.0, 0.02) if rng.random() < 0.4 else (),
    )


def look_at(number: int, settings: VirtualCaptureConfig, detector: NetworkPersonDetector) -> dict[str, Any]:
    """What the preflight says of a session, which is made for it and removed."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        session = record_session(settings, Path(folder) / "session")
        made = time.monotonic() - begun
        checks = inspect(session, detector=detector).record.checks
    said = {status: [c.line() for c in checks if c.status == status] for status in ("fail", "warn")}
    codes = {status: sorted(c.code for c in checks if c.status == status) for status in ("fail", "warn")}
    rig = settings.rig
    about = (
        f"{rig.layout} of {rig.count}, {rig.width}x{rig.height_px}, {settings.motion.name}, {settings.frames} frames, "
        f"depth {getattr(settings.depth, 'kind', None)}, masks {settings.masks}"
    )
    return {
        "number": number, "about": about, "codes": codes, "said": said,
        "seconds": [round(made, 1), round(time.monotonic() - begun - made, 1)],
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", type=int, nargs="*", default=[])
    parser.add_argument("--part", type=int, nargs=2, default=[0, 1], help="this one of so many processes")
    given = parser.parse_args()
    results = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    done = {result["number"] for result in results}
    detector = NetworkPersonDetector()
    for number in given.only or range(given.part[0], given.count, given.part[1]):
        if number in done and not given.only:
            continue
        result = look_at(number, draw_session(given.seed, number), detector)
        results.append(result)
        with given.out.open("a") as stream:
            stream.write(json.dumps(result) + "\n")
        print(f"{number:4d} {result['about']} {result['seconds']} s: {result['codes']}", flush=True)
        for line in result["said"]["fail"]:
            print(f"     {line}", flush=True)
    alarms = [result["number"] for result in results if result["codes"]["fail"]]
    warned = Counter(code for result in results for code in result["codes"]["warn"])
    print(f"{len(results)} sessions, {len(alarms)} with a failed check: {alarms}; warnings: {dict(warned)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
