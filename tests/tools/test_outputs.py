"""What is written is what its name says: a file of another format, or a folder called as a file, is refused at once."""

from pathlib import Path

import pytest

from simulacra.render.runtime.errors import RunError
from simulacra.tools.cli import main
from simulacra.tools.commands.arguments import check_file, check_folder

WORDS = {
    "a splat": ["export", "RUN", "--to", "ply", "--out", "av.splat"],
    "a WebM": ["animate", "RUN", "m.bvh", "--out", "clip.webm"],
    "a moving sheet": ["stage-people", "--out", "sheet.gif"],
    "a TOML of clocks": ["calibrate", "clocks", "SESSION", "RUN/observe", "--json", "clocks.toml"],
    "a run in a page": ["reconstruct", "SESSION", "--out", "report.html"],
    "a session in JSON": ["import", "qualisys", "SRC", "session.json"],
    "a scene in an archive": ["export-session", "SESSION", "--to", "colmap", "--out", "scene.zip"],
    "a stage in a video": ["stage", "--config", "rgbd_ring", "--out", "stage.mp4"],
}


@pytest.mark.parametrize("what", WORDS)
def test_a_name_of_another_kind_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(WORDS[what]) == 2
    said = capsys.readouterr().err
    name = Path(WORDS[what][-1])
    assert (
        f"found: {name.suffix}" in said
        and f"where: {name}" in said
        and f"{name.stem}" in said.split("do: ")[1]
    )
    assert not list(tmp_path.iterdir())


def test_names_of_the_kind_are_taken(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.M4V", "c"):
        check_file(tmp_path / name, (".mp4", ".m4v"), "a video")
    for name in ("run", "run.2", "take 1.5"):
        check_folder(tmp_path / name, "a run")
    (tmp_path / "d.mp4").mkdir()
    with pytest.raises(RunError, match="folder has the name"):
        check_file(tmp_path / "d.mp4", (".mp4",), "a video")
