"""What an import of a dataset's or a recorder's own folder can be told, a record an importer (see `options`)."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Interval

from simulacra.recon.importers.options import (
    DepthIs,
    DepthUnits,
    FileName,
    FolderName,
    FrameRate,
    LengthUnit,
    MaskLabel,
    Media,
    Metres,
    Up,
)
from simulacra.recon.runs.ranges import options

DomeCameras = Literal["hd", "vga"]
Confidence = Annotated[int, Interval(ge=0, le=2)]


@options
class PanopticOptions(FrameRate):
    """CMU Panoptic: a folder with calibration_SEQUENCE.json, and hdVideos/hd_00_NN.mp4 or hdImgs/00_NN/.

    Attributes:
        cameras: which of the dome's; hd and vga run at different rates and are no one capture.
        units: of the translations; the dome's are centimetres.
        world_up: which axis of the calibration points up, or as the cameras' horizons have it.
        floor: height of the floor over the calibration's origin, along up; the dome's is on the floor.
        media: which to take where there are both.
    """

    cameras: DomeCameras = "hd"
    units: LengthUnit = "cm"
    world_up: Up = "-y"
    floor: Metres = 0.0
    media: Media | None = None


@options
class ZjuMocapOptions(FrameRate):
    """ZJU-MoCap and what EasyMocap makes for Neural Body: a folder with annots.npy and CAMERA/FRAME.jpg.

    Attributes:
        units: of the translations; the data set's are millimetres.
        world_up: which axis of the calibration points up, or as the cameras' horizons have it.
        floor: height of the floor over the calibration's origin, along up; the origin when it is not given.
        mask: folder of the person's masks, whose parts have labels; mask_cihp or mask where there is one.
    """

    units: LengthUnit = "mm"
    world_up: Up = "cameras"
    floor: Metres | None = None
    mask: FolderName | None = None


@options
class AzureKinectOptions(FrameRate, MaskLabel):
    """Azure Kinect: color/ and depth/ images, and the calibration JSON that the device gave (or Open3D's recorder).

    Attributes:
        world_up: which axis of the color camera points up, or the axis that is nearest to its own up.
        floor: height of the floor over the camera, along up (negative); the camera is at y = 0 when it is not given.
        calibration: the file, where it cannot be told from its contents.
        mask: folder of the person's masks; none when it is not given.
    """

    world_up: Up = "cameras"
    floor: Metres | None = None
    calibration: FileName | None = None
    mask: FolderName | None = None


@options
class RealsenseOptions(FrameRate, MaskLabel):
    """RealSense: color/ and depth/ images, and a JSON with librealsense's intrinsics, extrinsics and depth scale.

    Attributes:
        depth_is: aligned to the color images, or of its own camera; needed where sizes and file leave it open.
        depth_scale: depth units in a metre, where the file has no depth_scale: 1000, but for an L515 (4000).
        world_up: which axis of the color camera points up, or the axis that is nearest to its own up.
        floor: height of the floor over the camera, along up (negative); the camera is at y = 0 when it is not given.
        calibration: the file, where it cannot be told from its contents.
        mask: folder of the person's masks; none when it is not given.
    """

    depth_is: DepthIs | None = None
    depth_scale: DepthUnits | None = None
    world_up: Up = "cameras"
    floor: Metres | None = None
    calibration: FileName | None = None
    mask: FolderName | None = None


@options
class PhoneOptions(FrameRate):
    """Of a phone that was tracked while it recorded color and depth.

    Attributes:
        still_person: the person did not move while the phone went round them: say so if it is so.
        count: so many frames of a phone that moves are taken, the sharpest of each stretch.
        confidence: depth of less confidence is left out: 0 takes all, 2 only the best.
        floor: height of the floor over the recording's origin, along up (the phone is over it: negative).
    """

    still_person: bool = False
    count: Annotated[int, Interval(ge=3, le=400)] = 60
    confidence: Confidence = 1
    floor: Metres | None = None


@options
class Record3dOptions(PhoneOptions):
    """Record3D's export EXR + RGB: a folder with metadata.json, rgb/ and depth/ (EXR: extra exr; or PNG, npz).

    Attributes:
        world_up: which axis of the poses points up; they begin level with the phone, and not with the floor.
    """

    world_up: Up = "cameras"


@options
class StrayScannerOptions(PhoneOptions):
    """Stray Scanner: a folder with rgb.mp4, odometry.csv, camera_matrix.csv, depth/ and confidence/.

    Attributes:
        world_up: which axis of the poses points up; the phone's own gravity is +y.
    """

    world_up: Up = "+y"


@options
class OpencapOptions(FrameRate):
    """OpenCap: a session's folder with Videos/Cam0/, its cameraIntrinsicsExtrinsics.pickle and the trials' videos.

    Attributes:
        trial: which of the recordings, where there are several.
        world_up: which axis of the checkerboard points up, or as the cameras' horizons have it.
        floor: height of the floor over the board's first corner, along up (negative); there when it is not given.
    """

    trial: FolderName | None = None
    world_up: Up = "cameras"
    floor: Metres | None = None
