"""Digests of a run's records, checked as other commands check them, beside the work: a page is there at once."""

from __future__ import annotations

import threading
from pathlib import Path

from simulacra.recon.runs.chain import check_records
from simulacra.render.runtime.errors import RunError, UserError


class RecordChecks:
    """What is known of the records of runs. Every byte of a stage is read once for each state that it is in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[Path, str], dict[str, str | None]] = {}
        self._going: set[tuple[Path, str]] = set()

    def start(self, root: Path, stamp: str, stages: tuple[str, ...]) -> None:
        """Begins to check the stages of a run, once."""
        key = (root, stamp)
        with self._lock:
            if key in self._found:
                return
            # States of runs that have been replaced are of no use.
            for old in [known for known in self._found if known[0] == root and known not in self._going]:
                del self._found[old]
            self._found[key] = {}
            self._going.add(key)
        threading.Thread(target=self._check, args=(key, stages), daemon=True).start()

    def found(self, root: Path, stamp: str) -> tuple[dict[str, str | None], bool]:
        """Stages with what is wrong with them (None: nothing), and whether all have been looked at."""
        with self._lock:
            key = (root, stamp)
            return dict(self._found.get(key, {})), key in self._found and key not in self._going

    def refuse_damaged(self, root: Path, stamp: str, stage: str) -> None:
        """That nothing is known to be wrong with a stage.

        Raises:
            RunError: its content is not what was written.
        """
        wrong = self.found(root, stamp)[0].get(stage)
        if wrong:
            raise RunError(wrong, where=root / stage, remedy="simulacra repair RUN says what can be done")

    def _check(self, key: tuple[Path, str], stages: tuple[str, ...]) -> None:
        for stage in stages:
            wrong: str | None = None
            try:
                check_records(key[0], [stage])
            except UserError as error:
                wrong = error.what
            except OSError as error:  # deleted meanwhile
                wrong = f"the stage {stage} cannot be read: {error.strerror}"
            with self._lock:
                self._found.setdefault(key, {})[stage] = wrong
        with self._lock:
            self._going.discard(key)
