"""Some hundred damaged captures of every importer, and that the harness would notice what it looks for."""

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulacra.render.runtime.errors import InputError
from tests.recon.importers import fuzzing
from tests.recon.importers.fuzz_seeds import SEEDS, Seed
from tests.recon.importers.fuzzing import fuzz


# Warnings are findings of the harness, in its children; what Pillow leaves to the garbage collector is none.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", SEEDS)
def test_damaged_captures_end_in_sessions_or_named_errors(tmp_path: Path, name: str) -> None:
    ended, findings = fuzz(name, range(1_000_000, 1_000_060), tmp_path)
    assert findings == []
    assert ended.total() == 60
    assert set(ended) > {"InputError"}, "not all damage is of one kind"


def spoilt(run: Callable[[Path, Path], object]) -> Seed:
    return replace(SEEDS["colmap"], run=run)


def _crash(src: Path, session: Path) -> None:
    os.abort()


def _hang(src: Path, session: Path) -> None:
    time.sleep(60)


def _leave(src: Path, session: Path) -> None:
    session.with_name(".session.half").mkdir()
    raise InputError("a named error")


def _take(src: Path, session: Path) -> None:
    SEEDS["colmap"].run(src, session)
    (session / "stolen.png").write_bytes((src.parent / "secret.png").read_bytes())


def _link(src: Path, session: Path) -> None:
    SEEDS["colmap"].run(src, session)
    (session / "link").symlink_to(src.parent / "secret.png")


def _warn(src: Path, session: Path) -> None:
    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def _fill(src: Path, session: Path) -> None:
    np.ones(2 * fuzzing.MEMORY, np.uint8)


CONTROLS = {
    "crash": _crash,
    "hang": _hang,
    "left beside": _leave,
    "outside": _take,
    "a link": _link,
    "RuntimeWarning": _warn,
    "MemoryError": _fill,
    "ValueError": lambda src, session: int("x"),
    "KeyError": lambda src, session: {}["x"],
}


@pytest.mark.parametrize("what", CONTROLS)
def test_the_harness_notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Each kind of finding, from an importer that misbehaves in that way on damaged captures only."""
    real, clean = SEEDS["colmap"].run, tmp_path / "template-bad"

    def run(src: Path, session: Path) -> object:
        return real(src, session) if src == clean else CONTROLS[what](src, session)

    monkeypatch.setitem(SEEDS, "bad", spoilt(run))
    monkeypatch.setattr(fuzzing, "LIMIT", 1.0 if what == "hang" else 20.0)
    # Undamaged, so that the controls that import do import.
    monkeypatch.setattr(fuzzing, "damage", lambda src, seed, rng: None)
    ended, findings = fuzz("bad", range(2), tmp_path)
    assert len(findings) == 2 and not ended
    assert all(what in finding.what for finding in findings), findings


def test_cases_are_the_same_again(tmp_path: Path) -> None:
    first = fuzz("nerfstudio", range(40), tmp_path / "a")[0]
    assert first == fuzz("nerfstudio", range(40), tmp_path / "b")[0]
