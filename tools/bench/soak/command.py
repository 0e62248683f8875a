"""`simulacra bench soak`: events on several cores until their number or the time is up, and a table of them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from simulacra.render.runtime.errors import RunError

from ..printing import WIDE
from .events import happen
from .plan import COMMAND_SHARE, KIND_SHARE, draw_event
from .reference import Reference, prepare

OUTCOMES = ("finished", "named error", "stopped", "broken")


def run(
    *, out: Path, events: int, minutes: float, seed: int, only: Sequence[int], workers: int, as_json: bool
) -> None:
    """Lets events happen, says violations as they are found, and prints the table.

    Raises:
        RunError: something did not hold; how each is done again is said.
    """
    if sys.platform != "linux":
        raise RunError("the soak needs Linux: it mounts disks and waits for processes as only Linux can")
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    # Idle threads of a parent do not exist in its forks: everything is on one thread, and so are the bytes.
    os.environ["OMP_NUM_THREADS"] = "1"
    console = Console(stderr=True, highlight=False)
    console.print("preparing: what is made in peace")
    _warm()
    reference = prepare(out / "reference", lambda text: console.print(f"  {text}"))
    can_mount = _can_mount(out)
    if not can_mount:
        console.print("note: no disks can be mounted here; full disks are limits of a file's size")
    numbers = list(only) or list(range(events))
    begun, results = time.monotonic(), []
    (out / "results.jsonl").write_text("", "utf-8")
    for result in _spread(numbers, seed, reference, out, can_mount, workers, minutes):
        results.append(result)
        with (out / "results.jsonl").open("a", encoding="utf-8") as kept:
            kept.write(json.dumps(result) + "\n")
        if result["violations"] or only:
            _say(console, result)
        if len(results) % 50 == 0:
            console.print(f"{len(results)} events, {time.monotonic() - begun:.0f} s")
    if as_json:
        sys.stdout.writelines(json.dumps(result) + "\n" for result in results)
    else:
        print_table(results, seed, time.monotonic() - begun)
    if any(result["violations"] for result in results):
        raise RunError(
            f"{sum(bool(result['violations']) for result in results)} events of {len(results)} did not hold",
            where=out / "results.jsonl",
            remedy=f"one of them again: simulacra bench soak --out {out} --seed {seed} --only NUMBER",
        )


def _warm() -> None:
    """Loads once what every command would load, without starting a thread."""
    import torch

    torch.set_num_threads(1)
    import torch._inductor

    import simulacra.recon.avatar.animate
    import simulacra.recon.evaluate.again
    import simulacra.recon.export_session
    import simulacra.recon.importers.nerfstudio
    import simulacra.recon.pipeline
    import simulacra.render.export  # noqa: F401

    from ...commands.warmup import warm_up
    from ...report import check_page
    from ...virtual import capture  # noqa: F401

    warm_up(quiet=True, stage=True)
    del check_page


def _can_mount(out: Path) -> bool:
    place = out / "mounted"
    place.mkdir(exist_ok=True)
    asked = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if mounted:
        subprocess.run(["umount", str(place)], check=True)
    place.rmdir()
    return mounted


def _spread(
    numbers: Sequence[int],
    seed: int,
    reference: Reference,
    out: Path,
    can_mount: bool,
    workers: int,
    minutes: float,
) -> Iterator[dict[str, Any]]:
    """The results of events as they come, from several processes."""
    until = time.monotonic() + 60 * minutes
    pipes: dict[int, bytes] = {}
    children = []
    for worker in range(workers):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            try:
                for number in numbers[worker::workers]:
                    if time.monotonic() > until:
                        break
                    line = json.dumps(one_event(seed, number, reference, out, can_mount))
                    os.write(write, line.encode() + b"\n")
            finally:
                sys.stderr.flush()
                os._exit(0)
        os.close(write)
        pipes[read] = b""
        children.append(child)
    while pipes:
        for read in select.select(list(pipes), [], [])[0]:
            piece = os.read(read, 1 << 16)
            *whole, pipes[read] = (pipes[read] + piece).split(b"\n")
            yield from map(json.loads, whole)
            if not piece:
                del pipes[read]
                os.close(read)
    for child in children:
        os.waitpid(child, 0)


def one_event(seed: int, number: int, reference: Reference, out: Path, can_mount: bool) -> dict[str, Any]:
    """One event as a record for JSON; an error of the soak itself is a violation that says so."""
    event = draw_event(seed, number)
    folder = out / f"event{number}"
    try:
        result = dataclasses.asdict(happen(event, reference, folder, can_mount))
    except Exception as error:  # noqa: BLE001 (an hour's soak goes on, and says what happened)
        result = {"event": dataclasses.asdict(event), "detail": "", "outcome": "", "remedies": 0}
        result |= {"violations": [f"the soak itself: {error!r}"], "seconds": 0.0, "peak_mb": 0.0}
    return result


def _say(console: Console, result: dict[str, Any]) -> None:
    event = result["event"]
    console.print(
        f"{event['number']}: {event['kind']} {event['command']} from {event['start']}: {result['detail']};"
        f" {result['outcome']}, {result['remedies']} remedies, {result['seconds']:.1f} s",
        markup=False,
        soft_wrap=True,
    )
    for violation in result["violations"]:
        console.print(f"    VIOLATION {violation}", markup=False, soft_wrap=True)


def print_table(results: Sequence[dict[str, Any]], seed: int, seconds: float) -> None:
    """Events by kind and command; outcomes by kind; violations."""
    from rich.table import Table

    counted = Counter((result["event"]["kind"], result["event"]["command"]) for result in results)
    table = Table(title=f"{len(results)} events of seed {seed} in {seconds / 60:.0f} min")
    for heading in ("", *COMMAND_SHARE, "all", *OUTCOMES, "remedies", "violations"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in (*KIND_SHARE, "all"):
        chosen = set(KIND_SHARE) if name == "all" else {name}
        those = [result for result in results if result["event"]["kind"] in chosen]
        per_command = [
            sum(n for (kind, c), n in counted.items() if kind in chosen and c == command)
            for command in COMMAND_SHARE
        ]
        per_outcome = [sum(result["outcome"] == outcome for result in those) for outcome in OUTCOMES]
        remedies = sum(result["remedies"] for result in those)
        violated = sum(bool(result["violations"]) for result in those)
        table.add_row(name, *map(str, [*per_command, len(those), *per_outcome, remedies, violated]))
    console = Console()
    (console if console.is_terminal else Console(width=WIDE + 20)).print(table)
    for kind, numbers in _alike(results).items():
        print(f"{len(numbers):4d}  {kind}  ({', '.join(map(str, numbers[:6]))})")
    peak = max((result["peak_mb"] for result in results), default=0.0)
    print(f"largest resident memory of a command: {peak:.0f} MiB")


def _alike(results: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    """Numbers of events by what did not hold, the most frequent first; numbers and names in the words are left out."""
    found: dict[str, list[int]] = {}
    for result in results:
        for words in result["violations"]:
            short = re.sub(r"(?<!\w)/\S+|out/\S+|'[^']*'|[0-9a-f]{8,}", "~", words)[:140]
            found.setdefault(short, []).append(result["event"]["number"])
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))
