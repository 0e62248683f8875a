"""What an import can be told, a record an importer: the command line reads them and the session keeps them.

They are here and not in the importers' own files so that the command line's help has them without loading an importer.
An importer NAME (`recon.importers.NAME`) is ``import_NAME(src, session, options)``.
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from simulacra.recon.runs.ranges import Frames, options

# The word in the help for a value of an option, beside its type.
# Heights are over or under an origin that may be anybody's, surveyors' too.
Metres = Annotated[float, "METRES", Interval(ge=-1e6, le=1e6)]
MetresPerUnit = Annotated[float, "METRES", Interval(ge=1e-6, le=1e6)]
# From a child's to more than anybody's.
Stature = Annotated[float, "METRES", Interval(ge=0.4, le=2.6)]
FocalLength = Annotated[float, "PIXELS", Interval(ge=1, le=1e6)]
# A principal point may be beyond the picture: of a part that was cut out of it.
PrincipalPoint = Annotated[float, "PIXELS", Interval(ge=-1e6, le=1e6)]
# 1 for metres to a million for micrometres.
DepthUnits = Annotated[float, "UNITS", Interval(ge=1, le=1e6)]
FolderName = Annotated[str, "FOLDER"]
FileName = Annotated[str, "FILE"]

Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]
# An axis of the calibration, or up as the cameras' horizons have it.
Up = Literal["+x", "-x", "+y", "-y", "+z", "-z", "cameras"]
LengthUnit = Literal["m", "cm", "mm"]
# Where the first pixel's centre is.
PixelCentre = Literal["0", "0.5"]
DepthIs = Literal["aligned", "separate"]
Media = Literal["images", "videos"]
Match = Literal["names", "order"]
Layout = Literal["flat", "cameras", "frames"]
Moments = Literal["one", "time", "names"]
SolvedLens = Literal["SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"]
PortraitUp = Literal["gravity", "picture"]
PortraitLens = Literal["file", "none"]
RelativeDepth = Literal["refuse", "drop", "trust"]


@options
class FrameRate:
    """Of a capture of several moments.

    Attributes:
        fps: pictures a second of a capture whose files carry no times.
    """

    fps: Annotated[float, "RATE", Interval(ge=0.01, le=10_000)] | None = None


@options
class MaskLabel:
    """Of a capture with masks.

    Attributes:
        mask_label: the person's value in masks of labels: 1 where they are of 0 and 1.
    """

    mask_label: Annotated[int, "LABEL", Interval(ge=0, le=65535)] | None = None


@options
class RgbdRigOptions(FrameRate, MaskLabel):
    """A ring of RGB-D cameras: a folder with COLOR, DEPTH, MASK and PARAM.

    Attributes:
        depth_scale: depth units in a metre: 10000 where a stored 10000 is one metre, 1000 for millimetres.
        world_up: which axis of the calibration points up; found from the cameras' horizons when it is not given.
    """

    depth_scale: DepthUnits
    world_up: Axis | None = None


@options
class QualisysOptions(FrameRate):
    """Qualisys video: a folder with videos/ and calibration/*.qca.txt.

    Attributes:
        reference: a .trc file of joints measured another way, to be scored against. It is never fitted to.
    """

    reference: Path | None = None


@options
class CaliscopeOptions:
    """Caliscope: a folder with camera_array.toml, the videos and the timestamps of their frames.

    Attributes:
        world_up: which axis of the calibration points up; found from the cameras' horizons when it is not given.
        recording: the folder of the recording in SRC, where there are several: recordings/NAME.
        floor: height of the floor over the calibration's origin, along up; the origin when it is not given.
    """

    world_up: Axis | None = None
    recording: FolderName | None = None
    floor: Metres | None = None


@options
class OpencvYamlOptions(FrameRate):
    """EasyMocap, or OpenCV's YAML: a folder with intri.yml, extri.yml, and images/CAM/ or videos/CAM.mp4.

    Attributes:
        units: of the translations, which the files do not say.
        world_up: which axis of the calibration points up, or as the cameras' horizons have it.
        floor: height of the floor over the calibration's origin, along up; the origin when it is not given.
        media: which to take where there are both.
    """

    units: LengthUnit
    world_up: Up = "cameras"
    floor: Metres | None = None
    media: Media | None = None


@options
class Pose2simOptions(FrameRate):
    """Pose2Sim: a folder with calibration/Calib.toml and videos/.

    Attributes:
        match: cameras to videos by their names, or by their order as Pose2Sim does.
        units: of the translations; metres as Pose2Sim has them, where that can be.
        world_up: which axis points up, or as the cameras' horizons have it; +z where they do not contradict it.
        floor: height of the floor over the calibration's origin, along up; the origin when it is not given.
    """

    match: Match = "names"
    units: LengthUnit | None = None
    world_up: Up | None = None
    floor: Metres | None = None


@options
class ColmapOptions(FrameRate, MaskLabel):
    """COLMAP: a folder with sparse/0 and images/. Its world has neither unit nor up: say both.

    Attributes:
        scale: metres in one unit of the model: a known distance over what the model has for it.
        world_up: which axis of the model points up, or as the cameras' horizons have it.
        floor: height of the floor over the model's origin, along up; the origin when it is not given.
        layout: what folders among the images are: cameras (CAM/FRAME.jpg), frames (FRAME/CAM.jpg), or nothing (flat).
        model: the folder of the model in SRC, where there are several.
        images: the folder of the images in SRC.
    """

    scale: MetresPerUnit
    world_up: Up
    floor: Metres | None = None
    layout: Layout | None = None
    model: FolderName | None = None
    images: FolderName = "images"


@options
class NerfstudioOptions(FrameRate, MaskLabel):
    """nerfstudio: a folder with transforms.json, or that file. Its world has neither unit nor certain up: say both.

    Attributes:
        scale: metres in one unit of the poses.
        world_up: which axis of the poses points up, or as the cameras' horizons have it.
        floor: height of the floor over the poses' origin, along up; the origin when it is not given.
        depth_scale: depth units in a metre: 1000 for millimetres. Needed where there is depth of an unsaid unit.
        moments: which frames were taken together: all of them, those of one time, or those of one file name.
    """

    scale: MetresPerUnit
    world_up: Up
    floor: Metres | None = None
    depth_scale: DepthUnits | None = None
    moments: Moments | None = None


@options
class MetashapeOptions:
    """Agisoft Metashape: a folder with the exported cameras.xml and images/.

    Attributes:
        scale: metres in one unit of the chunk's world: 1 where it was scaled by markers or scale bars.
        world_up: which axis of the world points up, or as the cameras' horizons have it.
        floor: height of the floor over the world's origin, along up; the origin when it is not given.
        xml: the file of cameras in SRC, where there are several.
        images: the folder of the photographs in SRC.
    """

    scale: MetresPerUnit
    world_up: Up
    floor: Metres | None = None
    xml: FileName | None = None
    images: FolderName = "images"


@options
class TruedepthOptions:
    """A phone's portrait with depth (iPhone TrueDepth): one .heic or .jpg file, the original as the phone wrote it.

    Attributes:
        up: as the phone's accelerometer had it, or the picture's own; gravity where the file has it.
        camera_height: of the phone over the floor; the phone is at y = 0 when it is not given.
        shrink: write the picture at 1 / so much of its size; its depth is 4 to 5 times smaller than it anyway.
        lens: none takes the picture as a pinhole camera's whatever the file says of its lens.
        relative_depth: what to do with depth that the phone says is not in metres.
    """

    up: PortraitUp | None = None
    camera_height: Metres | None = None
    shrink: Annotated[int, Interval(ge=1, le=16)] = 1
    lens: PortraitLens = "file"
    relative_depth: RelativeDepth = "refuse"


@options
class ImagesOptions:
    """Pictures without a calibration: a video or folder of images around a person, or images/CAM/ of a rig.

    Cameras are found by COLMAP (extra sfm). A turn-around becomes many cameras of one frame.

    Attributes:
        still_person: the person of a turn-around did not move: say so if it is so.
        metres_per_unit: a known distance over the reconstructed one.
        stature: the person's height, which gives the scale and the floor; or --metres-per-unit.
        count: so many frames of a video are taken, the sharpest of each stretch.
        moment: which picture of each camera of a rig is taken, counted from 0.
        model: of the lens, as COLMAP names them.
        world_up: which axis of the reconstruction points up, or as the cameras' horizons have it.
        floor: height of the floor over the reconstruction's origin, metres along up; with a stature, at the soles.
    """

    still_person: bool = False
    metres_per_unit: MetresPerUnit | None = None
    stature: Stature | None = None
    count: Annotated[int, Interval(ge=3, le=400)] = 60
    moment: Frames = 0
    model: SolvedLens = "SIMPLE_RADIAL"
    world_up: Up = "cameras"
    floor: Metres | None = None


@options
class VideosOptions(FrameRate):
    """Videos of cameras that recorded a board too, phones on tripods: a folder with a video for each camera.

    Attributes:
        board: the folder of the board's recording by the same cameras, with board.toml; SRC/board where it is there.
        floor_moment: a moment (frame number) at which the board lay on the floor.
    """

    board: Path | None = None
    floor_moment: Annotated[str, "MOMENT"] | None = None


@options
class Intrinsics:
    """Intrinsics of the only camera as numbers, in pixels of the color image: all four, or none.

    Attributes:
        fx: focal length, instead of a calibration file; with --fy, --cx and --cy.
        fy: as --fx, along the columns.
        cx: principal point.
        cy: as --cx, along the columns.
    """

    fx: FocalLength | None = None
    fy: FocalLength | None = None
    cx: PrincipalPoint | None = None
    cy: PrincipalPoint | None = None


@options
class Folders:
    """Names of folders and of the calibration where they are not the usual ones.

    Attributes:
        color: folder of the color images, where it is not the usual one.
        depth: folder of the depth images, where it is not the usual one.
        mask: folder of the person's masks; none when it is not given.
        calibration: file with the intrinsics, where it is not camera_intrinsic.json or like it.
    """

    color: FolderName | None = None
    depth: FolderName | None = None
    mask: FolderName | None = None
    calibration: FileName | None = None


@options
class ColorDepthOptions(FrameRate, MaskLabel):
    """Folders of color and depth images: Kinect, RealSense, Open3D, TUM, DDRNet; one camera, or a folder a camera.

    Attributes:
        depth_scale: depth units in a metre: 1000 for millimetres, 5000 for TUM.
        depth_is: aligned to the color images, or of a separate camera that the calibration describes.
        pixel_centre: where the first pixel's centre is in --cx --cy: 0 in OpenCV and most camera software.
        units: of a calibration's translations, where it does not say them.
        matches: images named by times: an associations file in SRC, or seconds that times may differ by.
        world_up: which axis of the calibration, or of the only camera, points up, or as cameras stand.
        floor: height of the floor over the origin, along up; the origin when it is not given.
        intrinsics: of the only camera, as numbers.
        folders: by their names, where they are not the usual ones.
    """

    depth_scale: DepthUnits
    depth_is: DepthIs
    pixel_centre: PixelCentre | None = None
    units: LengthUnit | None = None
    matches: Annotated[str, "FILE|SECONDS"] | None = None
    world_up: Up = "cameras"
    floor: Metres | None = None
    intrinsics: Intrinsics = field(default_factory=Intrinsics)
    folders: Folders = field(default_factory=Folders)
