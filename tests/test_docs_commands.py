"""Pages that walk through a task: their commands are run, or parsed where they need a capture; code is the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from simulacra.tools.cli import main, parse
from tests.recon.importers.test_videos import write_phones
from tests.tools.comparison.planted_runs import plant_run

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
# What needs no more than runs that are there.
RUN_HERE = ("runs", "compare")
# Pages whose commands are whole ones.
WALKS = ("four-phones.md", "own-loss.md", "view.md", "exports.md", "player.md")


def commands_in(page: str) -> list[list[str]]:
    lines = re.findall(r"^ {4}(simulacra .*)$", (DOCS / page).read_text("utf-8"), re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, gain, steps in (("a", 0.0, 60), ("b", 0.3, 120), ("c", -0.2, 240)):
        plant_run(tmp_path / "runs" / name, gain=gain, steps=steps)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", commands_in("judging.md"), ids=" ".join)
def test_commands_of_judging_do_what_the_page_says(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parse(words)
    if words[0] in RUN_HERE:
        assert main(words) == 0
        said = capsys.readouterr().out
        assert said.strip()
        if "--sort" in words and "psnr_fg" in words:
            assert [line.split()[0] for line in said.splitlines() if "complete" in line] == ["b", "a", "c"]
        if "--out" in words:
            assert (folder / words[words.index("--out") + 1]).is_file()


@pytest.mark.parametrize(
    ("page", "words"),
    [(page, words) for page in WALKS for words in commands_in(page)],
)
def test_commands_of_pages_are_commands(page: str, words: list[str]) -> None:
    assert callable(parse(words))


def test_four_phones_as_the_page_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's own words on phones that recorded a board and an empty room: a session, and what it lacks."""
    monkeypatch.chdir(tmp_path)
    write_phones(tmp_path / "phones")
    page = {words[0]: words for words in reversed(commands_in("four-phones.md"))}
    assert main(page["import"]) == 0 and (tmp_path / "session/session.json").is_file()
    capsys.readouterr()
    # Nobody moves, and nobody claps.
    assert main(page["synchronise"]) == 2
    assert "does not tell when it was started" in capsys.readouterr().err
    tools = {"import", "synchronise", "check", "reconstruct", "view", "compare", "animate", "export"}
    assert set(page) == tools


def test_commands_that_are_none_are_found() -> None:
    wrong: Callable[[list[str]], object] = parse
    with pytest.raises(SystemExit):
        wrong(["runs", "runs", "--sorted", "psnr_fg"])


def test_the_code_of_own_loss_is_the_examples() -> None:
    example = (REPOSITORY / "examples" / "own_loss.py").read_text("utf-8")
    page = (DOCS / "own-loss.md").read_text("utf-8")
    heart = re.search(r"^( {4}def edge_loss.*?)\n\n", page, re.MULTILINE | re.DOTALL)
    assert heart and re.sub(r"^ {4}", "", heart[1], flags=re.MULTILINE) in example
    assert "train_avatar(out, captured" in page and "in 42 lines" in page
    assert len(example.splitlines()) == 42
    call = re.search(r"^ {4}(train_avatar\(.*\))$", page, re.MULTILINE)
    assert call and call[1] in example


def test_the_index_leads_to_every_page() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    missing = [
        page.name for page in DOCS.glob("*.md") if f"({page.name})" not in index and page.name != "index.md"
    ]
    assert not missing
