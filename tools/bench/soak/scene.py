"""The folder in which an event happens: inputs, a run as it is before, and the commands in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .child import Child, Ending
from .faults import Disturbance
from .plan import Event
from .reference import COMMANDS, OF_RUN, RUN, STAGES, Reference, size_of

LIMIT = 120.0
SLOWER = 30.0
ROOMY = "256m"


class Scene:
    """Where an event happens.

    Args:
        folder: an absent folder, made here.
        mounted: `out` is a disk of its own, of a size that can be set.
    """

    def __init__(self, event: Event, reference: Reference, folder: Path, mounted: bool) -> None:
        self.event, self.reference, self.folder, self.mounted = event, reference, folder, mounted
        self.draws = event.draws()
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "out").mkdir(parents=True)
        if mounted:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", folder / "out"], check=True
            )
        command = COMMANDS[event.command]
        for name in {*command.needs, *(("session", "a.yaml") if event.command in OF_RUN else ())} - {RUN}:
            source = reference.root / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
        for name in ("b.yaml", "c.yaml"):
            shutil.copy2(reference.root / name, folder)
        if event.command in OF_RUN:
            self._put_run()

    def _put_run(self) -> None:
        start, run = self.event.start, self.folder / RUN
        if start == 0:
            return
        shutil.copytree(self.reference.root / "runs" / ("a" if isinstance(start, int) else start), run)
        if isinstance(start, int) and start < len(STAGES):
            for name in STAGES[start:]:
                shutil.rmtree(run / name)
            for name in ("config.yaml", "report.html"):
                (run / name).unlink()
        described = json.loads((run / "run.json").read_text("utf-8"))
        described["session"] = str((self.folder / "session").resolve())
        if isinstance(start, int) and start < len(STAGES):
            described = {name: described[name] for name in ("schema", "session_fingerprint")} | {"stages": {}}
        (run / "run.json").write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", "utf-8")

    def start(
        self, words: str = "", disturbances: Sequence[Disturbance] = (), file_limit: int | None = None
    ) -> Child:
        """The event's command, or another one, begun."""
        return Child(words or self.words, self.folder, disturbances, file_limit)

    @property
    def words(self) -> str:
        """Of the event's command."""
        return COMMANDS[self.event.command].words

    @property
    def limit(self) -> float:
        """Seconds after which a command hangs."""
        return LIMIT + SLOWER * self.seconds

    @property
    def seconds(self) -> float:
        """That the command takes in peace, about."""
        whole = self.reference.seconds[self.event.command]
        return max(0.2, whole - sum(self.reference.seconds.get(name, 0.0) for name in self._done()))

    @property
    def operations(self) -> int:
        """That the command does on files, about."""
        whole, done = self.reference.operations[self.event.command], self._done()
        return max(10, whole - (self.reference.operations[done[-1]] if done else 0))

    def _done(self) -> tuple[str, ...]:
        if self.event.command != "reconstruct" or self.event.start == "c":
            return ()
        return STAGES[: self.event.start if isinstance(self.event.start, int) else STAGES.index("avatar")]

    def growth(self) -> int:
        """Bytes that the command writes, about."""
        have = size_of(self.folder / "out")
        return max(1 << 16, self.reference.sizes[self.event.command] - have + (1 << 17))

    def resize(self, free: int | None) -> None:
        """Leaves so many bytes free on the disk of its own; None: plenty."""
        size = ROOMY
        if free is not None:
            used = subprocess.run(
                ["df", "--output=used", "-B1", self.folder / "out"],
                capture_output=True,
                text=True,
                check=True,
            )
            size = str(int(used.stdout.split()[1]) + max(4096, free))
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder / "out"], check=True)

    def in_peace(self, command: str) -> tuple[Ending, list[str]]:
        """A command run to its end, doing what its errors say is to be done; and what was done."""
        done: list[str] = []
        while True:
            ending = Child(COMMANDS[command].words, self.folder).end(self.limit)
            if ending.code != 2 or len(done) == 3:
                return ending, done
            remedy = self._follow(ending.said, command)
            if remedy is None:
                return ending, done
            done.append(remedy)

    def _follow(self, said: str, command: str) -> str | None:
        """Deletes what an error says is to be deleted, or moved out of the way; nothing else."""
        facts = dict(re.findall(r"^  (where|do): (.*)$", said, re.M))
        remedy, where = facts.get("do", ""), self.folder / facts.get("where", "nowhere")
        if not re.search(r"delete|remove|new (or empty )?folder|another (--)?out|empty", remedy):
            return None
        if not where.exists() or not where.resolve().is_relative_to((self.folder / "out").resolve()):
            where = self.folder / COMMANDS[command].gives
        if not where.exists():
            return None
        (shutil.rmtree if where.is_dir() else Path.unlink)(where)
        return f"deleted {where.relative_to(self.folder)}"

    def clear(self) -> None:
        """Removes the folder."""
        if self.mounted:
            subprocess.run(["umount", "-l", self.folder / "out"], check=True)
        shutil.rmtree(self.folder)
