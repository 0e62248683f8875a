"""What a virtual capture is: who, doing what, before which cameras, with which faults. The schema of configs/stage/."""

from __future__ import annotations

from dataclasses import field, replace
from typing import Annotated, Literal

import numpy as np
from annotated_types import Interval

from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.ranges import Seed, Share
from simulacra.render.runtime.errors import ConfigError

from .motion import MotionConfig
from .rig import RigConfig
from .room import RoomConfig
from .sensors.color import Blur, ColorSensor, Gain, Stops
from .sensors.depth import Stereo, StructuredLight, TimeOfFlight

# Far more than a rig is ever off by: what is asked for to see a check fail.
Milliseconds = Annotated[float, Interval(ge=0, le=1e5)]
Degrees = Annotated[float, Interval(ge=0, le=180)]
Millimetres = Annotated[float, Interval(ge=0, le=1e4)]
# Of an error around a true focal length: under -100 there is none.
Percent = Annotated[float, Interval(ge=-90, le=1000)]


@config
class PersonConfig:
    """Who it is.

    Attributes:
        seed: decides body, clothes, hair and colors.
        years: how old, where that is not the seed's to say.
        gender: of the body model, 0 to 1; without it the seed decides.
        height: of the body model, 0 to 1; without it the seed decides.
        weight: of the body model, 0 to 1; without it the seed decides.
        muscle: of the body model, 0 to 1; without it the seed decides.
    """

    seed: Seed = 0
    years: Annotated[float, Interval(ge=2, le=90)] | None = None
    gender: Share | None = None
    height: Share | None = None
    weight: Share | None = None
    muscle: Share | None = None


@config
class Companion:
    """Somebody else who is in view, and is not the one to be reconstructed."""

    person: PersonConfig = PersonConfig()
    motion: MotionConfig = field(default_factory=MotionConfig)


@config
class Fault:
    """What is wrong with one camera.

    Attributes:
        camera: its name.
        lag_ms: it looks later than the others, and does not say so.
        turn_deg: how far its calibration is turned from the truth.
        move_mm: how far its calibration is moved from the truth.
        focal_percent: error of its calibrated focal length.
        exposure: stops.
        defocus_px: radius of blur.
        iso: times the sensor's own.
        red_gain: white balance.
    """

    camera: str
    lag_ms: Annotated[float, Interval(ge=-1e5, le=1e5)] = 0.0
    turn_deg: Annotated[float, Interval(ge=-180, le=180)] = 0.0
    move_mm: Annotated[float, Interval(ge=-1e4, le=1e4)] = 0.0
    focal_percent: Percent = 0.0
    exposure: Stops = 0.0
    defocus_px: Blur = 0.0
    iso: Annotated[float, Interval(ge=0.001, le=1000)] = 1.0
    red_gain: Gain = 1.0


@config
class VirtualCaptureConfig:
    """A virtual capture.

    Attributes:
        companions: other people in view; masks and truth are of the person, what companions hide of them left out.
        frames: how many.
        fps: how many a second.
        light_seed: where the lamps are.
        color: the cameras' sensor of color.
        depth: of depth; without it they have color only.
        shutter_ms: how long the shutter is open.
        readout_ms: from the first row to the last (0: all at once).
        sync_ms: how unevenly cameras fire, one standard deviation; their time stamps say they are together.
        calibration_deg: how far calibrations are turned from the truth, standard deviation of each camera and axis.
        calibration_mm: how far they are moved from it, likewise.
        calibration_focal_percent: error of calibrated focal lengths, standard deviation of each camera.
        faults: of single cameras, on top.
        files: how pictures are kept: png, jpeg (color.jpeg_quality, 95 without), or h264 videos of a quality (crf).
        masks: the true masks are part of the session, as of a studio that cuts people out.
        true_pictures: keep depth, normals, masks and visibility of each camera as truth, not only bodies.
        seed: of the rig, of noise and of all chance.
    """

    person: PersonConfig = PersonConfig()
    motion: MotionConfig = field(default_factory=MotionConfig)
    companions: tuple[Companion, ...] = ()
    rig: RigConfig = field(default_factory=RigConfig)
    room: RoomConfig = field(default_factory=RoomConfig)
    light_seed: Seed = 0
    color: ColorSensor = field(default_factory=ColorSensor)
    depth: StructuredLight | Stereo | TimeOfFlight | None = None
    frames: Annotated[int, Interval(ge=1, le=100_000)] = 1
    fps: Annotated[float, Interval(ge=0.01, le=10_000)] = 30.0
    shutter_ms: Milliseconds = 8.0
    readout_ms: Milliseconds = 0.0
    sync_ms: Milliseconds = 0.0
    calibration_deg: Degrees = 0.0
    calibration_mm: Millimetres = 0.0
    calibration_focal_percent: Annotated[float, Interval(ge=0, le=20)] = 0.0
    faults: tuple[Fault, ...] = ()
    files: Literal["png", "jpeg", "h264"] = "jpeg"
    crf: Annotated[int, Interval(ge=0, le=51)] = 20
    masks: bool = False
    true_pictures: bool = True
    seed: Seed = 0

    def __post_init__(self) -> None:
        for fault in self.faults:
            try:
                faulty_sensor(self.color, fault)
            except ConfigError as error:
                raise ValueError(
                    f"a sensor with the faults of camera {fault.camera} that can be: {error}"
                ) from error


def faulty_sensor(sensor: ColorSensor, fault: Fault) -> ColorSensor:
    """The capture's sensor with one camera's own faults.

    Raises:
        ConfigError: both together are beyond what a sensor can be.
    """
    return replace(
        sensor,
        exposure=sensor.exposure + fault.exposure,
        defocus_px=float(np.hypot(sensor.defocus_px, fault.defocus_px)),
        iso=sensor.iso * fault.iso,
        red_gain=sensor.red_gain * fault.red_gain,
    )
