"""`simulacra stage`: virtual captures, and pictures of the people and sensors that they are made with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval
from tyro.conf import Suppress

from simulacra.recon.importers.options import DepthUnits
from simulacra.recon.runs.ranges import Seed
from simulacra.render.runtime.errors import RunError

from .arguments import Config, check_file, check_folder, next_command, say_recorded
from .configurations import config_file
from .outputs import OptionalNewFolder, OutFile

if TYPE_CHECKING:
    from ..virtual.config import VirtualCaptureConfig


def stage(
    out: OptionalNewFolder = None,
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
    from .plain_schema import check_configuration

    # What is wrong with names and options is said before anything heavy is loaded.
    check_configuration("stage", config_file(config, "stage"), overrides)
    if not print_config:
        if out is None:
            raise RunError("A folder for the session is needed", remedy="say which: --out SESSION")
        check_folder(out, "a session")
    from simulacra.recon.runs.configuration import format_config, load_config
    from simulacra.recon.runs.progress import track

    from ..virtual.capture import record_session

    settings = load_config(stage_schema(), config_file(config, "stage"), overrides)
    if print_config:
        sys.stdout.write(format_config(settings))
        return
    assert out is not None
    session = record_session(settings, out, lambda frames, total: track(frames, "recording", total))
    print(
        f"{out}: {say_recorded(session)}, their truth in {out / 'truth'}\nNext: {next_command(out, session)}"
    )


def stage_schema() -> type[VirtualCaptureConfig]:
    """The configuration that the command takes options of."""
    from ..virtual.config import VirtualCaptureConfig

    return VirtualCaptureConfig


def stage_people(out: OutFile, count: Annotated[int, Interval(ge=1, le=10_000)] = 12, seed: Seed = 0) -> None:
    """A contact sheet of virtual people, each whole and their face.

    Args:
        out: the picture to write, .png or .jpg.
        count: how many people.
        seed: of the first; the others have the seeds after it.
    """
    from simulacra.recon.runs.files import disk_errors

    from ..virtual.sheet import write_sheet

    check_file(out, (".png", ".jpg"), "a picture")
    with disk_errors(out):
        write_sheet(out, count, seed)


def stage_sensors(captures: Path, out: OutFile, depth_scale: DepthUnits = 10000.0, seed: Seed = 3) -> None:
    """Virtual depth sensors beside real ones: noise and agreement of cameras, printed and drawn.

    Args:
        captures: a folder with RGB-D rigs (COLOR, DEPTH, MASK, PARAM) and with raw depth and its reference (depth_map,
            high_quality_depth, mask) somewhere below it.
        out: the picture to write, .png or .jpg.
        depth_scale: of the rigs: depth units in a metre.
        seed: of the virtual persons and their sensors.
    """
    from simulacra.recon.runs.files import disk_errors

    from ..virtual.sensors.command import compare_sensors

    check_file(out, (".png", ".jpg"), "a picture")
    with disk_errors(out):
        compare_sensors(captures, out, depth_scale, seed)
