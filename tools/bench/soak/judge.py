"""What must hold after an event: how a command ended, and what lies there then."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Collection, Iterable
from pathlib import Path

from ...cli import INTERRUPTED, TERMINATED
from .child import Ending
from .damage import FOREIGN
from .reference import COMMANDS, RUN, STAGES, Reference, StageState, digests, read_stages

# The status of a command that a signal stopped in order, and the signal.
STOPPED = {INTERRUPTED: signal.SIGINT, TERMINATED: signal.SIGTERM}


def judge_ending(ending: Ending, killed_by: Collection[int] = ()) -> list[str]:
    """A command is done, stopped by the signal that it got, or says what a person can mend.

    Args:
        killed_by: signals that were sent.
    """
    wrong = []
    if ending.hung:
        wrong.append("hung")
    if ending.left:
        wrong.append("left a process behind")
    if "Traceback" in ending.said:
        wrong.append(f"traceback: {_last_line(ending.said)}")
    elif not ending.hung and ending.code not in (0, 2, *STOPPED, *(-number for number in killed_by)):
        wrong.append(f"status {ending.code}: {_last_line(ending.said)}")
    if STOPPED.get(ending.code, 0) not in (0, *killed_by):
        wrong.append("says that it was stopped, and nobody did")
    # What is wrong with a session is said in the first sentence of what `check` finds.
    if ending.code == 2 and not re.search(r"^(error: |Not usable)", ending.said, re.M):
        wrong.append(f"status 2 without a word: {_last_line(ending.said)}")
    return wrong


def judge_stages(folder: Path, reference: Reference, said_only: bool = False) -> list[str]:
    """Each stage that lies in its place under a known key has the content that the key stands for.

    Args:
        said_only: content may be damaged, as long as the description does not say so.
    """
    wrong = []
    for name, state in read_stages(folder / RUN).items():
        for known in reference.stages.values():
            if name in known and state.key == known[name].key:
                found = {state.said} if said_only else {state.said, state.found}
                if found != {known[name].said}:
                    wrong.append(f"{name} is kept under the key of another content")
                break
    return wrong


def judge_finished(
    folder: Path, reference: Reference, command: str, configurations: Iterable[str]
) -> list[str]:
    """What a command with status 0 has written is what it writes in peace.

    Args:
        configurations: of which a run may be.
    """
    if command == "reconstruct":
        return _judge_run(folder / RUN, reference, configurations)
    if command == "evaluate":
        return _judge_evaluation(folder / RUN, reference, configurations)
    found = digests(folder / COMMANDS[command].gives)
    if command == "export":
        return (
            []
            if found.get("") in {reference.avatars[name] for name in configurations}
            else ["another avatar"]
        )
    if command in ("animate", "evaluate-others") and set(configurations) != {"a"}:
        return []
    wanted = reference.made[command]
    names = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    return [f"{command} with status 0 wrote other bytes: {', '.join(names[:4])}"] if names else []


def _judge_run(run: Path, reference: Reference, configurations: Iterable[str]) -> list[str]:
    wrongs = []
    for name in configurations:
        wrong = _differences(run, reference, name)
        if not wrong:
            return []
        wrongs.append(f"status 0, and not what configuration {name} gives: {', '.join(wrong)}")
    return wrongs[:1]


def _differences(run: Path, reference: Reference, name: str) -> list[str]:
    wrong = [stage for stage, known in reference.stages[name].items() if read_stages(run).get(stage) != known]
    kept = reference.root / "runs" / name
    try:
        described = json.loads((run / "run.json").read_text("utf-8"))
        known = json.loads((kept / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return [*wrong, "run.json cannot be read"]
    for field in ("config", "locked", "session_fingerprint"):
        if described.get(field) != known[field]:
            wrong.append(f"run.json {field}")
    said = {stage: facts.get("digest") for stage, facts in described.get("stages", {}).items()}
    if said != {stage: state.said for stage, state in reference.stages[name].items()}:
        wrong.append("run.json stages")
    if (
        not (run / "config.yaml").is_file()
        or (run / "config.yaml").read_bytes() != (kept / "config.yaml").read_bytes()
    ):
        wrong.append("config.yaml")
    if not _is_whole_page(run / "report.html"):
        wrong.append("report.html")
    return wrong


def _judge_evaluation(run: Path, reference: Reference, configurations: Iterable[str]) -> list[str]:
    found = read_stages(run)
    for name in configurations:
        known = reference.stages[name]
        same = all(
            stage in found and found[stage].found == known[stage].found for stage in ("avatar", "evaluate")
        )
        if same and _is_whole_page(run / "report.html"):
            return []
    return ["evaluate with status 0 wrote scores that are not of this avatar, or no page"]


def _is_whole_page(path: Path) -> bool:
    return path.is_file() and path.read_text("utf-8", errors="replace").rstrip().endswith("</html>")


def whole_stages(folder: Path, reference: Reference, name: str = "a") -> set[str]:
    """Stages of a configuration that are finished and right."""
    known: dict[str, StageState] = reference.stages[name]
    return {stage for stage, state in read_stages(folder / RUN).items() if known.get(stage) == state}


def judge_kept(before: set[str], now: set[str], said: str) -> list[str]:
    """Stages that were finished are there, and were not computed again.

    Args:
        before: finished before the event.
        now: finished before the command in peace.
        said: what that command said.
    """
    wrong = [f"{stage} was finished and is lost" for stage in STAGES if stage in before - now]
    taken = set(re.findall(r"^(\w+) +unchanged", said, re.M))
    return wrong + [f"{stage} was finished and is computed again" for stage in STAGES if stage in now - taken]


def judge_half_outputs(folder: Path, reference: Reference, command: str) -> list[str]:
    """After a command that was not finished its output is absent, whole, or cannot be taken for whole."""
    gives = folder / COMMANDS[command].gives
    if command in ("reconstruct", "evaluate") or not gives.exists():
        return []
    found, wanted = digests(gives), reference.made[command]
    if found == wanted or not found:
        return []
    marks = {"import": "session.json", "stage": "session.json", "evaluate-others": "metrics.json"}
    if command in marks and marks[command] not in found:
        return []
    if command in marks or command in ("export", "animate"):
        return [f"{command} was not finished and left an output that looks whole"]
    return []


def find_leftovers(folder: Path) -> list[str]:
    """Hidden files of ours, which nothing needs once a command has finished."""
    found = sorted(path for path in (folder / "out").rglob(".*") if path.name not in FOREIGN)
    return [f"left over: {path.relative_to(folder)}" for path in found[:4]]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"\w*(Error|Exception|Interrupt)\b", line)]
    places = re.findall(r'File "\S*?(\w+/\w+\.py)", line (\d+)', text)
    own = [f"{name}:{line}" for name, line in places if not name.startswith("soak/")]
    where = ", ".join(own[-4:])
    return f"{(errors or lines or [''])[-1][:200]}{f' in {where}' if where else ''}"
