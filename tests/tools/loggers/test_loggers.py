"""Adapters to other programs' loggers: with the programs where they are installed, else with what they document."""

from __future__ import annotations

import importlib.util
import struct
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulacra.recon.runs.logs import Logger
from simulacra.render.runtime.errors import MissingExtraError
from simulacra.tools.loggers import make_logger
from simulacra.tools.loggers.tensorboard_files import TensorBoardLogger
from simulacra.tools.loggers.trackio_runs import TrackioLogger
from simulacra.tools.loggers.wandb_runs import WandbLogger

TOLD = [
    ("align", 0, {"l1": 0.5}),
    ("train", 0, {"l1": 0.25, "total": 1.0}),
    ("train", 1, {"l1": 0.125, "total": 0.5}),
]
PROGRAMS = ("tensorboard", "trackio", "wandb")


def tell(logger: Logger) -> None:
    for group, step, values in TOLD:
        logger.log(group, step, values)
    logger.finish()


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(program) is None, reason=f"{program} is not installed")


def records_of(path: Path) -> Iterator[bytes]:
    """The records of a TensorBoard file: length (8 bytes), its checksum (4), content, checksum (4)."""
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield content[12 : 12 + length]
        content = content[16 + length :]


@needs("tensorboard")
def test_tensorboard_reads_what_was_told(tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event

    logger = TensorBoardLogger(tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
    tell(logger)
    (file,) = (tmp_path / "logs").glob("events.out.tfevents.*")
    events = [Event.FromString(record) for record in records_of(file)]
    scalars = [(v.tag, e.step, v.simple_value) for e in events for v in e.summary.value]
    assert scalars == [
        (f"{group}/{name}", step, v) for group, step, values in TOLD for name, v in values.items()
    ]


@needs("wandb")
def test_wandb_writes_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "runs" / "a").mkdir(parents=True)
    tell(WandbLogger(tmp_path / "runs" / "a", {"avatar": {"steps": 2}}))
    (file,) = (tmp_path / "runs" / "a" / "logs" / "wandb").glob("offline-run-*/run-*.wandb")
    content = file.read_bytes()
    for said in (b"train/l1", b"align/step", b"0.125"):
        assert said in content, said


@needs("trackio")
def test_trackio_keeps_what_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "store"))
    (tmp_path / "runs" / "a").mkdir(parents=True)
    tell(TrackioLogger(tmp_path / "runs" / "a", {"avatar": {"steps": 2}}))
    assert list((tmp_path / "store").rglob("runs*.db"))


class Said:
    """Stands for a program: keeps how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*words: Any, **named: Any) -> Said:
            self.calls.append((name, words, named))
            return self

        return call

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(words, named) for called, words, named in self.calls if called == name]


def stand_in(monkeypatch: pytest.MonkeyPatch, program: str) -> Said:
    said, module = Said(), types.ModuleType(program)
    for name in ("init", "log", "finish"):
        setattr(module, name, getattr(said, name))
    monkeypatch.setitem(sys.modules, program, module)
    return said


def test_wandb_is_called_as_it_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs.wandb.ai: init(project, name, config, dir, mode), define_metric(name, step_metric), log(data), finish()."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    said = stand_in(monkeypatch, "wandb")
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    tell(WandbLogger(run, {"steps": 2}))
    ((_, begun),) = said.of("init")
    assert begun == {
        "project": "runs", "name": "a", "config": {"steps": 2}, "dir": str(run / "logs"), "mode": "offline"
    }  # fmt: skip
    assert (("train/*",), {"step_metric": "train/step"}) in said.of("define_metric")
    assert [words[0] for words, _ in said.of("log")][-1] == {
        "train/step": 1,
        "train/l1": 0.125,
        "train/total": 0.5,
    }
    assert len(said.of("finish")) == 1


def test_trackio_is_called_as_it_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface.co/docs/trackio: init(project, name, config, resume), log(metrics, step), finish()."""
    said = stand_in(monkeypatch, "trackio")
    tell(TrackioLogger(tmp_path / "runs" / "a", {"steps": 2}))
    ((_, begun),) = said.of("init")
    assert begun == {"project": "runs", "name": "a", "config": {"steps": 2}, "resume": "allow"}
    assert said.of("log")[-1] == (({"train/l1": 0.125, "train/total": 0.5},), {"step": 1})
    assert len(said.of("finish")) == 1


def test_nothing_is_begun_where_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("trackio", "wandb"):
        said = stand_in(monkeypatch, program)
        make_logger(program, tmp_path / "run", {}).finish()
        assert not said.calls
    TensorBoardLogger(tmp_path / "logs").finish()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_is_not_installed_is_an_extra(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, program, None)
    with pytest.raises(MissingExtraError, match=rf"simulacra\[{program}\]"):
        make_logger(program, tmp_path, {})
