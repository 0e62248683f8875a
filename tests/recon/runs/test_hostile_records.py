"""An array of Python objects is a program: no reader runs it, and each says by name that the file is no record."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulacra.recon.importers.pickled_arrays import read_pickled_arrays
from simulacra.recon.session import load_session
from simulacra.recon.session.reference import read_reference
from simulacra.recon.session.truth import (
    TrueCamera,
    TrueFrame,
    TrueView,
    Truth,
    read_truth,
    write_true_facts,
    write_true_frame,
    write_true_view,
)
from simulacra.render.body.anny import read_baked
from simulacra.render.runtime.errors import UserError
from tests.conftest import REPOSITORY
from tests.recon.ellipsoid_person import synthetic_session
from tests.recon.runs.planted_records import JSON_READERS, READERS, seal, write_records


class Program:
    """Creates a file when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self._made = made

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self._made), "w")


def plant(path: Path, made: Path) -> None:
    """Every array of a file replaced by a program."""
    program = np.array([Program(made)], dtype=object)
    if path.suffix == ".npy":
        np.save(path, program)
        return
    with np.load(path) as arrays:
        names = arrays.files
    np.savez(path, **dict.fromkeys(names, program))  # type: ignore[arg-type]


def true_session(tmp_path: Path) -> Truth:
    session = synthetic_session(tmp_path / "session", cameras=1, frames=1)
    faces, layers = np.array([[0, 1, 2]]), np.zeros(1, np.int64)
    root, one = session.root / "truth", np.zeros(3)
    write_true_facts(
        root,
        {"0": TrueCamera(np.eye(3), np.eye(4), 0.0)},
        (one, one),
        ("hip",),
        (faces, layers, ("skin",)),
        {},
    )
    points = np.zeros((3, 3))
    write_true_frame(root, 0, TrueFrame(points, points, points, points, one, one))
    picture = np.ones((4, 4), np.float32)
    view = TrueView(picture, picture, np.ones((4, 4, 3), np.float32), np.ones(3, bool))
    write_true_view(root, 0, "0", view)
    truth = read_truth(load_session(session.root))
    assert truth is not None
    return truth


def files_of_sessions(tmp_path: Path) -> dict[str, tuple[Path, Callable[[], Any]]]:
    truth = true_session(tmp_path)
    np.savez(
        tmp_path / "joints.npz", names=np.array(["hip"]), frames=np.arange(2), joints=np.zeros((2, 1, 3))
    )
    np.savez(tmp_path / "body.npz", names=np.frombuffer(b"{}", np.uint8), rest=np.zeros(3))
    np.save(tmp_path / "param.npy", np.array({"K": np.eye(3)}, dtype=object))
    return {
        "true surface": (truth.root / "surface.npz", lambda: read_truth(load_session(truth.root.parent))),
        "true frame": (truth.root / "frames/000000.npz", lambda: truth.frame(0)),
        "true view": (truth.root / "visible/0/000000.npy", lambda: truth.view(0, "0")),
        "reference": (tmp_path / "joints.npz", lambda: read_reference(tmp_path / "joints.npz")),
        "baked body": (tmp_path / "body.npz", lambda: read_baked(tmp_path / "body.npz")),
        "camera file": (tmp_path / "param.npy", lambda: read_pickled_arrays(tmp_path / "param.npy")),
    }


def test_no_record_runs_a_program(tmp_path: Path) -> None:
    run, made = tmp_path / "run", tmp_path / "made"
    write_records(run)
    for name, (_, read) in (READERS | JSON_READERS).items():
        assert read(run) is not None, name
    for name, (file, read) in READERS.items():
        plant(run / file, made)
        seal(run)
        with pytest.raises(UserError, match="objects"):
            read(run)
        assert not made.exists(), name


def test_no_file_of_a_session_or_body_runs_a_program(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for name, (path, read) in files_of_sessions(tmp_path).items():
        assert read() is not None, name
        plant(path, made)
        with pytest.raises(UserError):
            read()
        assert not made.exists(), name


def test_the_program_is_one(tmp_path: Path) -> None:
    """The control: who does let numpy unpickle runs it."""
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    plant(tmp_path / "a.npz", tmp_path / "made")
    with np.load(tmp_path / "a.npz", allow_pickle=True) as arrays:
        arrays["x"][0].close()
    assert (tmp_path / "made").is_file()


def unsafe(code: str) -> list[str]:
    """Calls in a source file that may run what they read."""
    found = []
    for call in (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        said = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        unpickles = name in ("np.load", "numpy.load") and said.get("allow_pickle", "False") != "False"
        tensors = name == "torch.load" and said.get("weights_only") != "True"
        pickles = name.startswith("pickle.") and name != "pickle.UnpicklingError"
        if unpickles or tensors or pickles or name in ("eval", "exec", "marshal.loads", "joblib.load"):
            found.append(f"{call.lineno}: {ast.unparse(call)}")
    return found


def test_no_other_reader_unpickles() -> None:
    """What was not tried above: that nobody asks a library to run what is in a file."""
    found = {}
    for package in ("render", "recon", "tools", "examples"):
        for path in (REPOSITORY / package).rglob("*.py"):
            if calls := unsafe(path.read_text("utf-8")):
                found[path.relative_to(REPOSITORY).as_posix()] = calls
    assert found == {}
    assert (
        len(unsafe("np.load(p, allow_pickle=True); torch.load(p); pickle.load(p); eval(p); np.load(p)")) == 4
    )
