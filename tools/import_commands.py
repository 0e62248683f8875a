"""`simulacra import LAYOUT`: a command for each foreign layout, thin over its importer; docstrings are the help."""

from __future__ import annotations

from typing import Annotated, Literal

from tyro.conf import arg

from .commands import OptionalPath, Session, Source, WorldUp, say_session

UpOrCameras = Annotated[
    Literal["+x", "-x", "+y", "-y", "+z", "-z", "cameras"], arg(metavar="+x|-x|+y|-y|+z|-z|cameras")
]
LengthUnits = Annotated[Literal["m", "cm", "mm"], arg(metavar="m|cm|mm")]
FloorHeight = Annotated[float | None, arg(metavar="METRES")]
Pixels = Annotated[float | None, arg(metavar="PIXELS")]


def import_rgbd_rig(
    src: Source,
    session: Session,
    /,
    depth_scale: float,
    world_up: WorldUp = None,
) -> None:
    """A ring of RGB-D cameras: a folder with COLOR, DEPTH, MASK and PARAM.

    Args:
        src: the folder of the capture.
        session: the session to make: a new or empty folder.
        depth_scale: depth units in a metre: 10000 where a stored 10000 is one metre, 1000 for millimetres.
        world_up: which axis of the calibration points up; found from the cameras when it is not given.
    """
    from simulacra.recon.importers.rgbd_rig import import_rgbd_rig as run

    run(src, session, depth_scale=depth_scale, world_up=world_up)
    say_session(session)


def import_qualisys(src: Source, session: Session, /, reference: OptionalPath = None) -> None:
    """Qualisys video: a folder with videos/ and calibration/*.qca.txt.

    Args:
        src: the folder of the capture.
        session: the session to make: a new or empty folder.
        reference: a .trc file of joints measured another way, to be scored against. It is never fitted to.
    """
    from simulacra.recon.importers.qualisys import import_qualisys as run

    run(src, session, reference=reference)
    say_session(session)


def import_caliscope(
    src: Source,
    session: Session,
    /,
    world_up: WorldUp = None,
    recording: Annotated[str | None, arg(metavar="FOLDER")] = None,
    floor: Annotated[float | None, arg(metavar="METRES")] = None,
) -> None:
    """Caliscope: a folder with camera_array.toml, the videos and the timestamps of their frames.

    Args:
        src: the folder of the capture.
        session: the session to make: a new or empty folder.
        world_up: which axis of the calibration points up; found from the cameras when it is not given.
        recording: the folder of the recording in SRC, where there are several: recordings/NAME.
        floor: height of the floor over the calibration's origin, along up; the origin when it is not given.
    """
    from simulacra.recon.importers.caliscope import import_caliscope as run

    run(src, session, world_up=world_up, recording=recording, floor=floor)
    say_session(session)


def import_opencv_yaml(
    src: Source,
    session: Session,
    /,
    units: LengthUnits,
    world_up: UpOrCameras = "cameras",
    floor: FloorHeight = None,
    media: Annotated[Literal["images", "videos"] | None, arg(metavar="images|videos")] = None,
) -> None:
    """EasyMocap, or OpenCV's YAML: a folder with intri.yml, extri.yml, and images/CAM/ or videos/CAM.mp4.

    Args:
        src: the folder of the capture.
        session: the session to make: a new or empty folder.
        units: of the translations, which the files do not say.
        world_up: which axis of the calibration points up, or as the cameras' horizons have it.
        floor: height of the floor over the calibration's origin, along up; the origin when it is not given.
        media: which to take where there are both.
    """
    from simulacra.recon.importers.opencv_yaml import import_opencv_yaml as run

    run(src, session, units=units, world_up=world_up, floor=floor, media=media)
    say_session(session)


def import_pose2sim(
    src: Source,
    session: Session,
    /,
    match: Annotated[Literal["names", "order"], arg(metavar="names|order")] = "names",
    units: LengthUnits = "m",
    world_up: UpOrCameras = "+z",
    floor: FloorHeight = None,
) -> None:
    """Pose2Sim: a folder with calibration/Calib.toml and videos/.

    Args:
        src: the folder of the capture.
        session: the session to make: a new or empty folder.
        match: cameras to videos by their names, or by their order as Pose2Sim does.
        units: of the translations; Pose2Sim's are metres.
        world_up: which axis of the calibration points up, or as the cameras' horizons have it.
        floor: height of the floor over the calibration's origin, along up; the origin when it is not given.
    """
    from simulacra.recon.importers.pose2sim import import_pose2sim as run

    run(src, session, match=match, units=units, world_up=world_up, floor=floor)
    say_session(session)


def import_colmap(
    src: Source,
    session: Session,
    /,
    scale: Annotated[float, arg(metavar="METRES")],
    world_up: UpOrCameras,
    floor: FloorHeight = None,
    layout: Annotated[Literal["flat", "cameras", "frames"] | None, arg(metavar="flat|cameras|frames")] = None,
    model: Annotated[str | None, arg(metavar="FOLDER")] = None,
    images: Annotated[str, arg(metavar="FOLDER")] = "images",
) -> None:
    """COLMAP: a folder with sparse/0 and images/. Its world has neither unit nor up: say both.

    Args:
        src: the folder of the reconstruction.
        session: the session to make: a new or empty folder.
        scale: metres in one unit of the model: a known distance over what the model has for it.
        world_up: which axis of the model points up, or as the cameras' horizons have it.
        floor: height of the floor over the model's origin, along up; the origin when it is not given.
        layout: what folders among the images are: cameras (CAM/FRAME.jpg), frames (FRAME/CAM.jpg), or nothing (flat).
        model: the folder of the model in SRC, where there are several.
        images: the folder of the images in SRC.
    """
    from simulacra.recon.importers.colmap import import_colmap as run

    run(src, session, scale=scale, world_up=world_up, floor=floor, layout=layout, model=model, images=images)
    say_session(session)


def import_color_depth(
    src: Source,
    session: Session,
    /,
    depth_scale: float,
    depth_is: Literal["aligned", "separate"],
    fx: Pixels = None,
    fy: Pixels = None,
    cx: Pixels = None,
    cy: Pixels = None,
    pixel_centre: Annotated[Literal["0", "0.5"] | None, arg(metavar="0|0.5")] = None,
    units: Annotated[Literal["m", "cm", "mm"] | None, arg(metavar="m|cm|mm")] = None,
    matches: Annotated[str | None, arg(metavar="FILE|SECONDS")] = None,
    color: Annotated[str | None, arg(metavar="FOLDER")] = None,
    depth: Annotated[str | None, arg(metavar="FOLDER")] = None,
    mask: Annotated[str | None, arg(metavar="FOLDER")] = None,
    calibration: Annotated[str | None, arg(metavar="FILE")] = None,
    world_up: UpOrCameras = "cameras",
    floor: FloorHeight = None,
) -> None:
    """Folders of color and depth images: Kinect, RealSense, Open3D, TUM, DDRNet; one camera or several.

    Args:
        src: the folder with a color and a depth folder, or with a folder a camera that have them.
        session: the session to make: a new or empty folder.
        depth_scale: depth units in a metre: 1000 for millimetres, 5000 for TUM.
        depth_is: aligned to the color images, or of a separate camera that the calibration describes.
        fx: focal length in pixels, instead of a calibration file; with --fy, --cx and --cy.
        fy: as --fx, along the columns.
        cx: principal point in pixels.
        cy: as --cx, along the columns.
        pixel_centre: where the first pixel's centre is in --cx --cy: 0 in OpenCV and most camera software.
        units: of a calibration's translations, where it does not say them.
        matches: images named by times: an associations file in SRC, or seconds that times may differ by.
        color: folder of the color images, where it is not the usual one.
        depth: folder of the depth images, where it is not the usual one.
        mask: folder of the person's masks; none when it is not given.
        calibration: file with the intrinsics, where it is not camera_intrinsic.json or like it.
        world_up: which axis of the calibration, or of the only camera, points up, or as cameras stand.
        floor: height of the floor over the origin, along up; the origin when it is not given.
    """
    from .depth_folders import run_import

    run_import(
        src, session, (fx, fy, cx, cy), matches, (color, depth, mask, calibration), depth_scale=depth_scale,
        depth_is=depth_is, pixel_centre=pixel_centre, units=units, world_up=world_up, floor=floor,
    )  # fmt: skip
    say_session(session)


def import_images(
    src: Source,
    session: Session,
    /,
    still_person: bool = False,
    stature: Annotated[float | None, arg(metavar="METRES")] = None,
    metres_per_unit: Annotated[float | None, arg(metavar="METRES")] = None,
    count: int = 60,
    moment: int = 0,
    model: Literal["SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"] = "SIMPLE_RADIAL",
    world_up: UpOrCameras = "cameras",
    floor: FloorHeight = None,
) -> None:
    """Pictures without a calibration: a video or folder of images around a person, or images/CAM/ of a rig.

    Cameras are found by COLMAP (extra sfm). A turn-around becomes many cameras of one frame.

    Args:
        src: the video, or the folder of images.
        session: the session to make: a new or empty folder.
        still_person: the person of a turn-around did not move: say so if it is so.
        stature: the person's height, which gives the scale and the floor; or --metres-per-unit.
        metres_per_unit: a known distance over the reconstructed one.
        count: so many frames of a video are taken, the sharpest of each stretch.
        moment: which picture of each camera of a rig is taken, counted from 0.
        model: of the lens, as COLMAP names them.
        world_up: which axis of the reconstruction points up, or as the cameras' horizons have it.
        floor: height of the floor over the reconstruction's origin, metres along up.
    """
    from simulacra.recon.importers.images import import_images as run

    run(
        src, session, still_person=still_person, stature=stature, metres_per_unit=metres_per_unit, count=count,
        moment=moment, model=model, world_up=world_up, floor=floor,
    )  # fmt: skip
    say_session(session)


def import_truedepth(
    src: Source,
    session: Session,
    /,
    up: Annotated[Literal["gravity", "picture"] | None, arg(metavar="gravity|picture")] = None,
    camera_height: Annotated[float | None, arg(metavar="METRES")] = None,
    shrink: int = 1,
    lens: Literal["file", "none"] = "file",
    relative_depth: Literal["refuse", "drop", "trust"] = "refuse",
) -> None:
    """A phone's portrait with depth (iPhone TrueDepth): one .heic or .jpg file, as the phone wrote it.

    Args:
        src: the picture, the original: most programs drop the depth.
        session: the session to make: a new or empty folder.
        up: as the phone's accelerometer had it, or the picture's own; gravity where the file has it.
        camera_height: of the phone over the floor; the phone is at y = 0 when it is not given.
        shrink: write the picture at 1 / so much of its size; its depth is 4 to 5 times smaller than it anyway.
        lens: none takes the picture as a pinhole camera's whatever the file says of its lens.
        relative_depth: what to do with depth that the phone says is not in metres.
    """
    from simulacra.recon.importers.truedepth import import_truedepth as run

    run(
        src, session, up=up, camera_height=camera_height, shrink=shrink, lens=lens,
        relative_depth=relative_depth,
    )  # fmt: skip
    say_session(session)


def import_metashape(
    src: Source,
    session: Session,
    /,
    scale: Annotated[float, arg(metavar="METRES")],
    world_up: UpOrCameras,
    floor: FloorHeight = None,
    xml: Annotated[str | None, arg(metavar="FILE")] = None,
    images: Annotated[str, arg(metavar="FOLDER")] = "images",
) -> None:
    """Agisoft Metashape: a folder with the exported cameras.xml and images/.

    Args:
        src: the folder of the capture.
        session: the session to make: a new or empty folder.
        scale: metres in one unit of the chunk's world: 1 where it was scaled by markers or scale bars.
        world_up: which axis of the world points up, or as the cameras' horizons have it.
        floor: height of the floor over the world's origin, along up; the origin when it is not given.
        xml: the file of cameras in SRC, where there are several.
        images: the folder of the photographs in SRC.
    """
    from simulacra.recon.importers.metashape import import_metashape as run

    run(src, session, scale=scale, world_up=world_up, floor=floor, xml=xml, images=images)
    say_session(session)


def import_nerfstudio(
    src: Source,
    session: Session,
    /,
    scale: Annotated[float, arg(metavar="METRES")],
    world_up: UpOrCameras,
    floor: FloorHeight = None,
    depth_scale: Annotated[float | None, arg(metavar="UNITS")] = None,
    moments: Annotated[Literal["one", "time", "names"] | None, arg(metavar="one|time|names")] = None,
) -> None:
    """nerfstudio: a folder with transforms.json. Its world has neither unit nor certain up: say both.

    Args:
        src: the folder of the data set, or its .json file.
        session: the session to make: a new or empty folder.
        scale: metres in one unit of the poses.
        world_up: which axis of the poses points up, or as the cameras' horizons have it.
        floor: height of the floor over the poses' origin, along up; the origin when it is not given.
        depth_scale: depth units in a metre: 1000 for millimetres.
        moments: which frames were taken together: all of them, those of one time, or those of one file name.
    """
    from simulacra.recon.importers.nerfstudio import import_nerfstudio as run

    run(src, session, scale=scale, world_up=world_up, floor=floor, depth_scale=depth_scale, moments=moments)
    say_session(session)
