"""What a virtual capture is: who, doing what, before which cameras, with which faults. The schema of configs/stage/."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from simulacra.recon.runs.configuration import config

from .motion import MotionConfig
from .rig import RigConfig
from .room import RoomConfig
from .sensors.color import ColorSensor
from .sensors.depth import Stereo, StructuredLight, TimeOfFlight

NotNegative = Annotated[float, Field(ge=0)]


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

    seed: int = 0
    years: Annotated[float, Field(ge=2, le=90)] | None = None
    gender: float | None = None
    height: float | None = None
    weight: float | None = None
    muscle: float | None = None


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
    lag_ms: float = 0.0
    turn_deg: float = 0.0
    move_mm: float = 0.0
    focal_percent: float = 0.0
    exposure: float = 0.0
    defocus_px: NotNegative = 0.0
    iso: Annotated[float, Field(gt=0)] = 1.0
    red_gain: Annotated[float, Field(gt=0)] = 1.0


@config
class VirtualCaptureConfig:
    """A virtual capture.

    Attributes:
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
    rig: RigConfig = field(default_factory=RigConfig)
    room: RoomConfig = field(default_factory=RoomConfig)
    light_seed: int = 0
    color: ColorSensor = field(default_factory=ColorSensor)
    depth: StructuredLight | Stereo | TimeOfFlight | None = None
    frames: Annotated[int, Field(gt=0)] = 1
    fps: Annotated[float, Field(gt=0)] = 30.0
    shutter_ms: NotNegative = 8.0
    readout_ms: NotNegative = 0.0
    sync_ms: NotNegative = 0.0
    calibration_deg: NotNegative = 0.0
    calibration_mm: NotNegative = 0.0
    calibration_focal_percent: NotNegative = 0.0
    faults: tuple[Fault, ...] = ()
    files: Literal["png", "jpeg", "h264"] = "jpeg"
    crf: Annotated[int, Field(ge=0, le=51)] = 20
    masks: bool = False
    true_pictures: bool = True
    seed: int = 0
