"""`simulacra bench`: this machine measured, several ways of doing the same in turns in one process."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval
from tyro.conf import Positional, arg

from simulacra.recon.runs.ranges import Seed as PersonSeed
from simulacra.render.runtime.errors import ConfigError

from .arguments import Config, Session
from .configurations import config_file, config_name
from .inputs import Input
from .outputs import OutFolder

if TYPE_CHECKING:
    from simulacra.recon.pipeline import ReconstructionConfig

Repeats = Annotated[int, Interval(ge=1, le=10_000)]
Side = Annotated[int, Interval(ge=16, le=16384)]
ClipLength = Annotated[int, Interval(ge=1, le=100_000)]
Gaussians = Annotated[int, Interval(ge=100, le=5_000_000)]
Events = Annotated[int, Interval(ge=1, le=1_000_000)]
EventNumber = Annotated[int, Interval(ge=0, le=999_999)]
Minutes = Annotated[float, Interval(ge=0.01, le=100_000)]
Seed = Annotated[int, Interval(ge=0, le=2**32 - 1)]
Sessions = Annotated[Positional[tuple[Path, ...]], arg(metavar="[SESSION ...]"), Input("session")]
People = Annotated[int, Interval(ge=0, le=10_000)]
Methods = Annotated[tuple[str, ...], arg(metavar="NAME|FILE.yaml [...]")]
RunCount = Annotated[int, Interval(ge=1, le=1_000_000)]
Workers = Annotated[int, Interval(ge=1, le=64)]


def bench_splat(repeats: Repeats = 7, json: bool = False) -> None:
    """The Gaussian rasterizer, forward and with gradients, against plain torch and the peak of this machine.

    Args:
        repeats: measured turns of each scene.
        json: one JSON object a line instead of a table.
    """
    from ..bench.splat import run

    run(repeats=repeats, as_json=json)


def bench_mesh(size: Side = 512, repeats: Repeats = 9, json: bool = False) -> None:
    """The mesh rasterizer, step by step.

    Args:
        size: of the square image, pixels.
        repeats: measured turns of each step.
        json: one JSON object a line instead of a table.
    """
    from ..bench.mesh import run

    run(size=size, repeats=repeats, as_json=json)


def bench_perception(
    sizes: tuple[Side, ...] = (128, 256, 512), repeats: Repeats = 5, json: bool = False
) -> None:
    """Each perceptual measure, forward and with its gradient, beside L1 and SSIM.

    Args:
        sizes: of the square images, pixels, at least 32.
        repeats: measured turns of each.
        json: one JSON object a line instead of a table.
    """
    from ..bench.perception import run

    run(sides=sizes, repeats=repeats, as_json=json)


def bench_train(
    gaussians: Gaussians = 50_000, size: Side = 512, repeats: Repeats = 9, json: bool = False
) -> None:
    """A training step of an avatar, part by part, against the same in plain torch.

    Args:
        gaussians: how many are on the body.
        size: of the square image, pixels.
        repeats: measured turns of each part.
        json: one JSON object a line instead of a table.
    """
    from ..bench.train import run

    run(gaussians=gaussians, size=size, repeats=repeats, as_json=json)


def bench_length(
    frames: tuple[ClipLength, ...] = (1000, 3000, 10_000), clip: Path | None = None, json: bool = False
) -> None:
    """Memory and time of every stage of captures of many frames: whether they cost more than their length.

    Args:
        frames: of the captures, rising.
        clip: a session whose pictures are repeated; a virtual person who walks if not given.
        json: one JSON object a line instead of a table.
    """
    from ..bench.length import run

    run(frames=frames, clip=clip, as_json=json)


def bench_drive(
    gaussians: Gaussians = 50_000,
    size: Side = 512,
    frames: ClipLength = 60,
    json: bool = False,
) -> None:
    """Frames a second of a moving avatar.

    Args:
        gaussians: how many are on the body.
        size: of the square image, pixels.
        frames: of the clip.
        json: one JSON object a line instead of a table.
    """
    from ..bench.drive import run

    run(gaussians=gaussians, size=size, frames=frames, as_json=json)


def bench_codec(
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]"), Input("run")],
    /,
    json: bool = False,
) -> None:
    """Compressed avatars against PLY, SPZ and SOG: bytes, decibels in three poses and at the head, time of reading.

    Args:
        runs: the folders that `simulacra reconstruct` made.
        json: one JSON object a line instead of a table.
    """
    from ..bench.codec import run

    run(runs=runs, as_json=json)


def bench_database(
    count: RunCount = 10_000, views: ClipLength = 200, repeats: Repeats = 3, json: bool = False
) -> None:
    """The database of runs: five questions over made-up runs, from a file a run, from parts, and from the cache.

    Args:
        count: of runs.
        views: of each.
        repeats: measured turns of each question.
        json: one JSON object a line instead of a table.
    """
    from ..bench.database import run

    run(runs=count, views=views, repeats=repeats, as_json=json)


def bench_soak(
    out: OutFolder,
    events: Events = 1000,
    minutes: Minutes = 60.0,
    seed: Seed = 0,
    only: Annotated[tuple[EventNumber, ...], arg(metavar="NUMBER [NUMBER ...]")] = (),
    workers: Workers = 2,
    json: bool = False,
) -> None:
    """Commands disturbed at random: killed, without disk, with damaged files, changed sessions and other writers.

    What every command gives in peace is made first. After each event its output must be that, or an error that says
    what to do, and the same command in peace must give it.

    Args:
        out: a folder for the reference, the events and results.jsonl.
        events: at most so many.
        minutes: none is begun after these.
        seed: decides all events.
        only: the events of these numbers alone.
        workers: events at a time.
        json: one JSON object an event instead of a table.
    """
    from ..bench.soak.command import run

    run(out=out, events=events, minutes=minutes, seed=seed, only=only, workers=workers, as_json=json)


def bench_quality(
    sessions: Sessions = (),
    /,
    *,
    out: OutFolder,
    config: Config = None,
    methods: Methods = ("ours", "depth_splats", "free_splats", "body_only", "mesh_only"),
    people: People = 0,
    seed: PersonSeed = 0,
    sensors: Literal["perfect", "real", "both"] = "both",
    stage: Annotated[str, arg(metavar="NAME|FILE.yaml")] = "rgbd_ring",
) -> None:
    """How good ours and every baseline are on sessions and on virtual people, the same views held out.

    Every method has a run in OUT/runs. Scores, paired differences and their intervals are printed, and written to
    OUT/quality.md and OUT/quality.json after each capture. What was stopped goes on with the same command.

    Args:
        sessions: folders that `simulacra import` made.
        out: a folder for virtual people, runs and tables.
        config: what all methods have in common, and ours is; the one that fits each session if not given.
        methods: the first is what the others are held against. `ours` is the configuration itself; of baselines, and of
            files, only what they say of the avatar is taken.
        people: so many virtual people besides, of one seed after the other.
        seed: of the first of them.
        sensors: theirs: without noise and with an exact calibration, or as they are with a calibration that is 0.15
            degrees and 2 mm off.
        stage: the virtual capture, a file or one of configs/stage.
    """
    from simulacra.recon.runs.configuration import load_config

    from ..bench import quality
    from ..bench.quality_table import collect_table, write_table
    from .stage import stage_schema
    from .warmup import warm_up

    if not sessions and not people:
        raise ConfigError("there is no capture to measure on", remedy="name sessions, or say --people 5")
    chosen = quality.methods_of(methods, config_file)
    kinds: tuple[quality.Sensors, ...] = ("perfect", "real") if sensors == "both" else (sensors,)
    made = load_config(stage_schema(), config_file(stage, "stage"))
    virtual = list(quality.people(made, people, seed, kinds))
    names = [method.name for method in chosen]
    warm_up(quiet=True)
    works = quality.captures_of(sessions, virtual, out / "people", functools.partial(_fitting, config))
    done = quality.run(works, chosen, out, lambda so_far: write_table(out, collect_table(names, so_far)))
    print(write_table(out, collect_table(names, done)), end="")
    print(f"written: {out / 'quality.md'} and {out / 'quality.json'}")


def _fitting(config: str | None, session: Path) -> tuple[str, ReconstructionConfig]:
    """The name of a configuration and what it comes to: the named one, or the one that fits the session."""
    from simulacra.recon.runs.configuration import load_config

    from .reconstruct import propose, reconstruction_schema

    if config is not None:
        return config_name(config), load_config(reconstruction_schema(), config_file(config))
    fits = propose(session, ())
    return fits.config, load_config(reconstruction_schema(), config_file(fits.config), fits.options)


def bench_end_to_end(
    session: Session,
    /,
    *,
    against: Annotated[str, arg(metavar="COMMIT")],
    config: Config = None,
    repeats: Repeats = 3,
    json: bool = False,
) -> None:
    """Time of a whole reconstruction, stage by stage, of this source tree and of another commit of it.

    The commit is checked out in a temporary folder and run by the same Python, in turns with this tree, after one turn
    of each that is not measured. A ratio is of two runs of one turn; under 1 this tree is faster.

    Args:
        session: the folder that `simulacra import` made.
        against: what git knows the other by.
        config: of both: a file, or a name, which in either tree is what that tree brings.
        repeats: measured turns.
        json: one JSON object a line instead of a table.
    """
    from ..bench.end_to_end import run

    run(session, against=against, config=config, repeats=repeats, as_json=json)
