"""`validate`, and what `export` is told of files that move."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulacra.render.runtime.errors import RunError
from simulacra.tools.cli import main
from simulacra.tools.commands.export import format_of

GOLDEN = Path(__file__).parents[2] / "render" / "export" / "golden" / "rigged_v1.avatar"


def test_a_sound_file_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(GOLDEN)]) == 0
    said = capsys.readouterr().out
    assert "sound; 4 Gaussians, 2 bones (2 a Gaussian), 1 facial actions, 2 frames at 25 a second" in said


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda whole: whole[:-1], "bytes of data where the header says"),
        (lambda whole: whole[:-3] + b"x" + whole[-2:], "damaged"),
        (lambda whole: b"PK" + whole[2:], "does not begin"),
        (lambda whole: b"", "does not begin"),
    ],
    ids=["cut off", "a byte", "another kind", "empty"],
)
def test_a_damaged_file_is_told_in_words(
    damage: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(damage)
    (tmp_path / "bad.avatar").write_bytes(damage(GOLDEN.read_bytes()))
    assert main(["validate", str(tmp_path / "bad.avatar")]) == 2
    assert said in capsys.readouterr().err
    assert main(["validate", str(tmp_path / "none.avatar")]) == 2


def test_what_moves_is_known_by_its_name(tmp_path: Path) -> None:
    assert format_of(tmp_path / "a.avatar", None) == "avatar"
    assert format_of(tmp_path / "a.html", None) == "web"
    assert format_of(tmp_path / "site", "web") == "web"
    with pytest.raises(RunError):
        format_of(tmp_path / "a.avatar", "web")
    (tmp_path / "site").mkdir()
    assert format_of(tmp_path / "site", "web") == "web"
    (tmp_path / "site" / "thesis.txt").touch()
    with pytest.raises(RunError, match="taken"):
        format_of(tmp_path / "site", "web")
    (tmp_path / "site" / "page.js").touch()
    assert format_of(tmp_path / "site", "web") == "web"


def test_a_single_file_is_driven_by_no_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "a.html"), "--live"]) == 2
    assert "only the page as a folder" in capsys.readouterr().err
