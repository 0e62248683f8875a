"""Events happen: a command is disturbed, judged, and run again in peace."""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .child import Ending
from .damage import FOREIGN, damage_run, leave_over, lose_unsynced, session_change
from .faults import ALL, CHANGES, ERRNOS, LASTING, SIGNALS, Disturbance, fail, send
from .judge import (
    STOPPED,
    find_leftovers,
    judge_ending,
    judge_finished,
    judge_half_outputs,
    judge_kept,
    judge_stages,
    whole_stages,
)
from .plan import Event
from .reference import COMMANDS, OF_RUN, RUN, Reference
from .scene import Scene

# Commands that want a new folder for what they make.
NEW_FOLDER = ("import", "stage", "export-colmap", "export-nerfstudio")
# Changes that need room: of a full disk things can still be removed.
ROOM = CHANGES - {"remove"}
# Kinds in which the bytes of a run are damaged by us, so that they may be other than their description says.
DAMAGED = ("corrupt", "power", "leftovers")


@dataclass
class Disturbed:
    """A command that was disturbed.

    Attributes:
        ending: how it ended.
        detail: what was done, for people.
        killed_by: signals that it was sent.
        configurations: of which the run may be now.
        undo: what is put back before the command is run in peace.
        wrong: what was seen to be wrong on the way.
        must_finish: nothing that was done may be noticed.
    """

    ending: Ending
    detail: str = ""
    killed_by: tuple[int, ...] = ()
    configurations: tuple[str, ...] = ("a",)
    undo: Callable[[], None] = lambda: None
    wrong: list[str] = field(default_factory=list)
    must_finish: bool = False


@dataclass(frozen=True)
class Result:
    """What became of an event; `violations` are empty where all held."""

    event: Event
    detail: str
    outcome: str
    remedies: int
    violations: tuple[str, ...]
    seconds: float
    peak_mb: float


def happen(event: Event, reference: Reference, folder: Path, can_mount: bool) -> Result:
    """One event from its beginning to the judgement."""
    begun = time.monotonic()
    scene = Scene(event, reference, folder, can_mount and event.kind == "disk")
    try:
        before = whole_stages(folder, reference)
        done = KINDS[event.kind](scene)
        wrong = [*done.wrong, *judge_ending(done.ending, done.killed_by), *_judge_now(scene, done)]
        if event.kind not in DAMAGED and event.command in OF_RUN:
            wrong += judge_stages(folder, reference)
        wrong += _look_at_it(scene, done)
        done.undo()
        again, remedies = _settle(scene, done, before)
        wrong += again
    finally:
        scene.clear()
    peak = done.ending.peak_mb
    missed = "" if done.ending.disturbed or "operation" not in done.detail else ", which did not come"
    return Result(
        event, done.detail + missed, _outcome(done), remedies, tuple(wrong), time.monotonic() - begun, peak
    )


def _outcome(done: Disturbed) -> str:
    if done.ending.code == 0:
        return "finished"
    if done.ending.code == 2:
        return "named error"
    return "stopped" if done.ending.code in STOPPED or done.ending.code < 0 else "broken"


def _judge_now(scene: Scene, done: Disturbed) -> list[str]:
    """The output as it lies there after the disturbance."""
    event = scene.event
    if done.ending.code == 0:
        wrong = judge_finished(scene.folder, scene.reference, event.command, done.configurations)
        if event.kind == "session" and wrong and _says_other_session(scene):
            return []
        return wrong
    if done.must_finish:
        return [f"refused for what is no part of it: {done.ending.said.strip()[:200]}"]
    return [] if event.kind == "session" else judge_half_outputs(scene.folder, scene.reference, event.command)


def _says_other_session(scene: Scene) -> bool:
    """Whether a run says that it is of another session; what is made of a changed session in other commands may be."""
    if scene.event.command not in OF_RUN:
        return True
    run = scene.folder / RUN / "run.json"
    return not run.is_file() or scene.reference.fingerprint not in run.read_text("utf-8")


def _look_at_it(scene: Scene, done: Disturbed) -> list[str]:
    """Sometimes somebody opens the run as it is now: what it gives is of one of the configurations, or it refuses."""
    chance = scene.draws.random()
    if scene.event.command != "reconstruct" or chance > 0.4:
        return []
    command = "export" if chance < 0.25 else "evaluate"
    ending = scene.start(COMMANDS[command].words).end(scene.limit)
    wrong = judge_ending(ending)
    if ending.code == 0 and not (scene.event.kind == "session" and _says_other_session(scene)):
        wrong += judge_finished(scene.folder, scene.reference, command, ("a", "b", "c"))
    return [f"{command} afterwards: {each}" for each in wrong]


def _settle(scene: Scene, done: Disturbed, before: set[str]) -> tuple[list[str], int]:
    """The same command in peace: it ends well, gives the reference's bytes, and does nothing twice."""
    event, folder, reference = scene.event, scene.folder, scene.reference
    wrong: list[str] = []
    remedies = 0
    if done.ending.code == 0 and event.command in NEW_FOLDER:
        shutil.rmtree(folder / COMMANDS[event.command].gives)
    commands = [event.command]
    if event.command in OF_RUN and event.kind in (*DAMAGED, "writers", "session"):
        commands = list(dict.fromkeys(["reconstruct", event.command]))
    for command in commands:
        now = whole_stages(folder, reference)
        ending, done_for_it = scene.in_peace(command)
        remedies += len(done_for_it)
        wrong += [f"in peace: {each}" for each in judge_ending(ending)]
        if ending.code:
            wrong.append(f"in peace {command} ends with {ending.code}: {ending.said.strip()[:300]}")
            continue
        wrong += [f"in peace: {each}" for each in judge_finished(folder, reference, command, ("a",))]
        if command == "reconstruct" and not done_for_it:
            kept = before if _must_keep(scene, done) else set()
            wrong += judge_kept(kept, now, ending.said)
    return wrong + find_leftovers(folder), remedies


def _must_keep(scene: Scene, done: Disturbed) -> bool:
    return scene.event.kind not in ("corrupt", "leftovers", "session") and done.configurations == ("a",)


def _peace(scene: Scene) -> Disturbed:
    return Disturbed(scene.start().end(scene.limit), must_finish=True)


def _kill(scene: Scene) -> Disturbed:
    draws = scene.draws
    number = int(draws.choice(SIGNALS))
    twice = number == signal.SIGINT and draws.random() < 0.25
    if draws.random() < 0.5:
        at, torn = int(draws.integers(1, scene.operations + 1)), bool(draws.random() < 0.25)
        kinds = frozenset({"write"}) if torn else ALL
        child = scene.start(disturbances=[Disturbance(at, send(number, torn, twice), kinds)])
        detail = f"{signal.Signals(number).name} at operation {at}{' in a write' * torn}{' twice' * twice}"
    else:
        seconds = float(draws.random() * 1.1 * scene.seconds)
        child = scene.start()
        child.runs_for(seconds)
        child.send(number)
        if twice and child.runs_for(0.05):
            child.send(number)
        detail = f"{signal.Signals(number).name} after {seconds:.2f} s{' twice' * twice}"
    return Disturbed(child.end(scene.limit), detail, (number,))


def _power(scene: Scene) -> Disturbed:
    draws = scene.draws
    at = int(draws.integers(1, scene.operations + 1))
    begun = time.time_ns()
    ending = scene.start(disturbances=[Disturbance(at, send(signal.SIGKILL), CHANGES)]).end(scene.limit)
    done = Disturbed(ending, f"power lost at operation {at}", (signal.SIGKILL,))
    if ending.code == -signal.SIGKILL:
        finished = whole_stages(scene.folder, scene.reference)
        lost = lose_unsynced(scene.folder / "out", begun, ending.operations, draws)
        gone = finished - whole_stages(scene.folder, scene.reference)
        done.detail += f", {len(lost)} files not synced: {', '.join(lost[:3])}"
        done.wrong += [f"{stage} was finished and is lost with the power" for stage in sorted(gone)]
    return done


def _fault(scene: Scene) -> Disturbed:
    draws = scene.draws
    number = int(draws.choice(ERRNOS))
    at = int(draws.integers(1, scene.operations + 1))
    lasting = number in LASTING or bool(draws.random() < 0.3)
    torn = bool(draws.random() < 0.3)
    kinds = CHANGES if number == errno.EROFS else ROOM if number in LASTING else ALL
    first = Disturbance(at, fail(number, torn), frozenset({"write"}) if torn else kinds, lasting and not torn)
    rest = [Disturbance(at + 1, fail(number), kinds, lasting=True)] if torn and lasting else []
    detail = f"{os.strerror(number)} at operation {at}{' and after' * lasting}{' in a write' * torn}"
    return Disturbed(scene.start(disturbances=[first, *rest]).end(scene.limit), detail)


def _disk(scene: Scene) -> Disturbed:
    free = int(scene.draws.random() * scene.growth())
    if scene.mounted and scene.draws.random() < 0.7:
        scene.resize(free)
        return Disturbed(
            scene.start().end(scene.limit), f"{free >> 10} KiB free", undo=lambda: scene.resize(None)
        )
    most = max(4096, free // 4)
    ending = scene.start(file_limit=most).end(scene.limit)
    return Disturbed(ending, f"files of at most {most >> 10} KiB")


def _corrupt(scene: Scene) -> Disturbed:
    run = scene.folder / RUN
    if not run.exists():
        return _peace(scene)
    detail = damage_run(scene.folder, scene.draws)
    # What is damaged here may be a description that still tells of sound content, or a page that nobody reads.
    return Disturbed(scene.start().end(scene.limit), detail)


def _session(scene: Scene) -> Disturbed:
    draws = scene.draws
    root = scene.folder / ("capture" if scene.event.command == "import" else "session")
    if draws.random() < 0.15:
        name = str(draws.choice(FOREIGN))
        (root / name).write_text("something")
        return Disturbed(scene.start().end(scene.limit), f"{name} in the session", must_finish=True)
    detail, change = session_change(root, draws)
    kept = {path: (path.read_bytes(), path.stat()) for path in sorted(root.rglob("*")) if path.is_file()}

    def put_back() -> None:
        for path, (content, status) in kept.items():
            if not path.is_file() or path.read_bytes() != content:
                path.write_bytes(content)
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    way = draws.random()
    if way < 0.3:
        change()
        return Disturbed(scene.start().end(scene.limit), f"{detail}, before", undo=put_back)
    at, until = sorted(int(each) for each in draws.integers(1, scene.operations + 1, 2))
    disturbances = [Disturbance(at, change)]
    if way < 0.6:
        disturbances.append(Disturbance(until + 1, put_back))
        detail += f", put back at operation {until + 1}"
    ending = scene.start(disturbances=disturbances).end(scene.limit)
    return Disturbed(ending, f"{detail}, at operation {at}", undo=put_back)


def _writers(scene: Scene) -> Disturbed:
    draws, first_command = scene.draws, scene.event.command
    others = ["a", "b", "b", "c"] + ["evaluate", "export", "animate"] * (first_command == "reconstruct")
    other = str(draws.choice(others))
    configurations = ("a", other) if other in "abc" else ("a",)
    if isinstance(scene.event.start, str):
        configurations = (*configurations, scene.event.start)
    words = COMMANDS.get(other, COMMANDS["reconstruct"]).words
    words = words.replace("a.yaml", f"{other}.yaml") if other in "abc" else words
    if other == "animate":
        (scene.folder / "motion.bvh").write_bytes((scene.reference.root / "motion.bvh").read_bytes())
    at, held = int(draws.integers(1, scene.operations + 1)), bool(draws.random() < 0.6)
    endings = list(_together(scene, words, at, held))
    detail = f"{words} {'within' if held else 'beside'} it, from operation {at}"
    done = Disturbed(endings[0], detail, configurations=tuple(dict.fromkeys(configurations)))
    if len(endings) > 1:
        done.wrong += [f"the second: {each}" for each in judge_ending(endings[1])]
        if other == "export" and endings[1].code == 0:
            wrong = judge_finished(scene.folder, scene.reference, "export", ("a", "b", "c"))
            done.wrong += [f"the second: {each}" for each in wrong]
    return done


def _together(scene: Scene, words: str, at: int, held: bool) -> Iterator[Ending]:
    """The event's command, and from one of its operations on another; held: it goes on when that has ended."""
    reached, reach = os.pipe()
    wait, release = os.pipe()

    def hold() -> None:
        os.write(reach, b"x")
        os.read(wait, 1)

    first = scene.start(disturbances=[Disturbance(at, hold)])
    os.close(reach)
    select.select([reached], [], [], scene.limit)
    second = scene.start(words) if os.read(reached, 1) else None
    if second is not None and held:
        second.runs_for(5 * scene.reference.seconds["reconstruct"] + 10)
    os.write(release, b"x")
    yield first.end(2 * scene.limit)
    if second is not None:
        yield second.end(2 * scene.limit)
    for descriptor in (reached, wait, release):
        os.close(descriptor)


def _leftovers(scene: Scene) -> Disturbed:
    if scene.event.command in OF_RUN:
        detail = leave_over(scene.folder, scene.draws)
        return Disturbed(scene.start().end(scene.limit), detail)
    gives = scene.folder / COMMANDS[scene.event.command].gives
    gives.mkdir(parents=True)
    # Files of other names in a folder of the user's are nothing to `check`.
    (gives / f".{'check.html' if scene.event.command == 'check' else 'session.json'}.partial").write_text("{")
    return Disturbed(scene.start().end(scene.limit), "a half-written file in its place")


KINDS: dict[str, Callable[[Scene], Disturbed]] = {
    "peace": _peace,
    "kill": _kill,
    "power": _power,
    "fault": _fault,
    "disk": _disk,
    "corrupt": _corrupt,
    "session": _session,
    "writers": _writers,
    "leftovers": _leftovers,
}
