"""The configuration that an import ends with suits the session, and is one that `reconstruct` takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.evaluate.protocol import lock_protocol
from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.runs.configuration import load_config
from simulacra.recon.session import Frame, Session, SessionCamera, Source
from simulacra.tools.cli import split_overrides
from simulacra.tools.commands.configurations import config_file
from simulacra.tools.commands.proposed import propose_words, say_recorded


def session_of(names: str, moments: int, *, depth: bool = False, importer: str = "qualisys") -> Session:
    """One that is described only: letters are cameras."""
    camera = SessionCamera("", 64, 48, np.eye(3), np.eye(4), None, 1000.0 if depth else None)
    cameras = tuple(replace(camera, name=name) for name in names)
    frames = tuple(
        Frame(k, {name: Source(f"images/{name}/{k}.png") for name in names}) for k in range(moments)
    )
    return Session(Path("s"), cameras, frames, (), {"importer": importer})


@pytest.mark.parametrize(
    ("session", "words", "held_out"),
    [
        (session_of("01234567", 1, depth=True), ["--config", "studio_rgbd"], ("3", "6")),
        (
            session_of("ABCDEF", 9, depth=True),
            ["--config", "studio_rgbd", "--views.held_out_cameras", "['B', 'E']"],
            ("B", "E"),
        ),
        (session_of("ABCD", 100), ["--config", "multiview_video"], ()),
        (session_of("ABCD", 111, importer="caliscope"), ["--config", "desk_face"], ()),
        (session_of("ABCDEFGHIJ", 1), ["--views.held_out_cameras", "['F']"], ("F",)),
        (session_of("A", 300), ["--views.held_out_every", "10"], ()),
        (session_of("A", 1, depth=True, importer="truedepth"), [], ()),
    ],
)
def test_what_is_proposed_is_taken(session: Session, words: list[str], held_out: tuple[str, ...]) -> None:
    assert propose_words(session) == words
    config = words[1] if words[:1] == ["--config"] else None
    _, overrides = split_overrides(["reconstruct", "s", *words])
    views = load_config(ReconstructionConfig, config_file(config), overrides).views
    protocol = lock_protocol(
        session.camera_names, session.frame_indices, views.held_out_cameras, views.held_out_every
    )
    assert protocol.held_out_cameras == held_out
    assert (protocol.name != "views seen in training") == bool(held_out or len(session.frames) > 9)


def test_what_was_recorded_in_words() -> None:
    assert say_recorded(session_of("AB", 3, depth=True)) == "2 cameras, 3 moments, depth"
    assert say_recorded(session_of("A", 1)) == "1 camera, 1 moment"
