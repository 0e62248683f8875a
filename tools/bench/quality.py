"""`simulacra bench quality`: ours and every baseline on the same captures, with the same views held out.

Captures are sessions that are given and virtual people that are made here. Each gets the configuration that fits it,
or the one that is named; a method differs from it in the settings under `avatar` alone, so that all see the same
cameras and frames and stand on the same fit. Every run is kept in a folder of its own and none is made again that is
there, so that what was stopped goes on. Nothing is tuned, and a method that fails is told, not left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from simulacra.recon.pipeline import ReconstructionConfig, reconstruct
from simulacra.recon.runs.configuration import dump_config, load_config
from simulacra.recon.runs.files import disk_errors, read_json, write_json
from simulacra.recon.session import load_session
from simulacra.render.runtime.errors import ConfigError, RunError, UserError

from ..virtual.capture import record_session
from ..virtual.config import VirtualCaptureConfig
from ..virtual.sensors.depth import TimeOfFlight

OURS = "ours"
BASELINES = ("depth_splats", "free_splats", "body_only", "mesh_only")
Sensors = Literal["perfect", "real"]
# Of perfect sensors a lens so sharp that pictures begin to alias; of real ones how far calibrations are off.
SHARP_PX, TURNED_DEG, MOVED_MM = 0.3, 0.15, 2.0


@dataclass(frozen=True)
class Person:
    """A virtual person before virtual cameras.

    Attributes:
        name: of the capture.
        stage: who, before what.
    """

    name: str
    stage: VirtualCaptureConfig


@dataclass(frozen=True)
class Method:
    """What is compared.

    Attributes:
        avatar: the settings of the avatar; None for those of the capture's own configuration.
    """

    name: str
    avatar: Any = None


@dataclass(frozen=True)
class Work:
    """A capture and the configuration that fits it.

    Attributes:
        name: of its folder.
        session: its folder.
        settings: what all methods have in common, and ours is.
        config_name: what that is called.
    """

    name: str
    session: Path
    settings: ReconstructionConfig
    config_name: str


@dataclass(frozen=True)
class Done:
    """A method's run of a capture.

    Attributes:
        failed: why there is none, in words; None where there is one.
    """

    run: Path
    failed: str | None = None


def people(
    stage: VirtualCaptureConfig, count: int, seed: int, sensors: Sequence[Sensors]
) -> Iterator[Person]:
    """So many people by their seeds, each before every kind of sensors.

    Raises:
        ConfigError: perfect sensors are asked for, and of the depth sensor nobody has said what that is.
    """
    for number in range(seed, seed + count):
        own = replace(stage, seed=number, light_seed=number, person=replace(stage.person, seed=number))
        for kind in sensors:
            seen = perfect(own) if kind == "perfect" else real(own)
            yield Person(f"person{number}-{kind}", seen)


def perfect(stage: VirtualCaptureConfig) -> VirtualCaptureConfig:
    """Without noise, color filters and errors of range: what is left is the method's.

    Raises:
        ConfigError: of the depth sensor nobody has said what that is.
    """
    color, depth = replace(stage.color, noise=False, bayer=False, defocus_px=SHARP_PX), stage.depth
    if isinstance(depth, TimeOfFlight):
        depth = replace(depth, noise_m=0.0, wiggling_m=0.0, multipath=0.0)
    elif depth is not None:
        raise ConfigError(
            "what is perfect is known of sensors by time of flight alone",
            where="the virtual capture",
            found=f"depth.kind {depth.kind}",
            remedy="--sensors real, or a capture of another depth",
        )
    return replace(stage, color=color, depth=depth)


def real(stage: VirtualCaptureConfig) -> VirtualCaptureConfig:
    """Sensors as they are, and a calibration as it is done."""
    return replace(stage, calibration_deg=TURNED_DEG, calibration_mm=MOVED_MM)


def record_person(person: Person, folder: Path) -> Path:
    """The person's session, which is made if it is not there.

    Raises:
        RunError: there is a session of that name that was made otherwise.
    """
    session, described = folder / person.name, folder / f"{person.name}.json"
    if session.is_dir():
        if not described.is_file() or read_json(described) != dump_config(person.stage):
            raise RunError(
                "a virtual person of this name was made with other settings",
                where=session,
                remedy="another --out, or delete that folder",
            )
        return session
    print(f"{person.name}: {session}", file=sys.stderr, flush=True)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(described, dump_config(person.stage))
    record_session(person.stage, session)
    return session


def methods_of(names: Sequence[str], find: Callable[[str], Path | None]) -> list[Method]:
    """Ours, and the avatars of configurations.

    Args:
        names: `ours`, names of baselines, or of files whose `avatar` is taken.
        find: the file of a configuration of that name.

    Raises:
        ConfigError: one that there is not, or that is given twice.
    """
    found = []
    for name in names:
        if name == OURS:
            found.append(Method(OURS))
            continue
        file = find(f"baselines/{name}" if name in BASELINES else name)
        found.append(Method(Path(name).stem, load_config(ReconstructionConfig, file).avatar))
    named = [method.name for method in found]
    if len(set(named)) < len(named) or not named:
        raise ConfigError(
            "methods are told apart by their names", expected="each once", found=", ".join(named) or "none"
        )
    return found


def run_methods(work: Work, methods: Sequence[Method], out: Path) -> dict[str, Done]:
    """One run for each method, by its name; what they have in common is computed once.

    Args:
        out: the folder of the runs' folders.
    """
    folders = {method.name: out / method.name for method in methods}
    done: dict[str, Done] = {}
    for method in methods:
        folder = folders[method.name]
        settings = work.settings if method.avatar is None else replace(work.settings, avatar=method.avatar)
        siblings = tuple(path for path in folders.values() if path != folder and path.is_dir())
        print(f"{work.name}, {method.name}: {folder}", file=sys.stderr, flush=True)
        try:
            name = work.config_name if method.avatar is None else method.name
            reconstruct(work.session, settings, folder, name, siblings=siblings)
            done[method.name] = Done(folder)
        except UserError as error:
            print(f"{work.name}, {method.name}: {error}", file=sys.stderr, flush=True)
            done[method.name] = Done(folder, str(error))
    return done


def captures_of(
    sessions: Sequence[Path],
    virtual: Sequence[Person],
    out: Path,
    resolve: Callable[[Path], tuple[str, ReconstructionConfig]],
) -> Iterator[Work]:
    """The captures one after the other, virtual ones made when it is their turn.

    Args:
        out: the folder for virtual people.
        resolve: the name of the configuration that fits a session, and what it comes to.

    Raises:
        ConfigError: two captures of one name.
        RunError: a session that is damaged, or a virtual person that was made otherwise.
    """
    names = [path.resolve().name for path in sessions] + [person.name for person in virtual]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError("captures are told apart by their folders' names", found=", ".join(twice))
    for path in sessions:
        load_session(path)  # what is damaged is said before anything is computed
    for name, path in zip(names, sessions):
        config_name, settings = resolve(path)
        yield Work(name, path, settings, config_name)
    for person in virtual:
        path = record_person(person, out)
        config_name, settings = resolve(path)
        yield Work(person.name, path, settings, config_name)


def run(
    works: Iterator[Work],
    methods: Sequence[Method],
    out: Path,
    tell: Callable[[Mapping[str, Mapping[str, Done]]], object],
) -> dict[str, dict[str, Done]]:
    """All methods on all captures, in the folder `runs` by capture and method.

    Args:
        tell: is handed all that is done after each capture: a long bench has a table before its end.
    """
    done: dict[str, dict[str, Done]] = {}
    for work in works:
        done[work.name] = run_methods(work, methods, out / "runs" / work.name)
        tell(done)
    return done
