"""Tags: whole lines whoever writes and whatever is killed, and the last word counts."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from simulacra.render.runtime.errors import InputError, RunError
from simulacra.tools.cli import main
from simulacra.tools.report.content import ViewTag, _tags
from simulacra.tools.viewer.tags import TAGS_FILE, append_tag, chosen_tags, make_tag, read_tags
from tests.tools.viewer.serving import get, get_json, ids_of, served, write_scored_run

SAID = {"camera": "a", "frame": 3, "tag": "bad hand", "severity": 3, "note": "Daumen fehlt\nlinks"}


def test_a_tag_is_read_back_and_its_last_line_counts(tmp_path: Path) -> None:
    first, second = make_tag(SAID), make_tag(SAID | {"tag": "hole", "severity": 1})
    for tag in (first, second, first | {"note": "doch da"}):
        append_tag(tmp_path, tag)
    found = read_tags(tmp_path)
    assert {(t["tag"], t["severity"], t["note"]) for t in found} == {
        ("bad hand", 3, "doch da"),
        ("hole", 1, SAID["note"]),
    }
    append_tag(tmp_path, make_tag(second | {"removed": True}))
    assert [t["id"] for t in read_tags(tmp_path)] == [first["id"]]
    lines = (tmp_path / TAGS_FILE).read_text().splitlines()
    assert len(lines) == 4 and all(json.loads(line)["frame"] == 3 for line in lines)


def test_a_line_that_was_cut_off_harms_no_other(tmp_path: Path) -> None:
    append_tag(tmp_path, make_tag(SAID))
    with (tmp_path / TAGS_FILE).open("a") as stream:
        stream.write('{"id": "abc", "fra')
    append_tag(tmp_path, make_tag(SAID | {"tag": "hole"}))
    assert [t["tag"] for t in read_tags(tmp_path)] == ["bad hand", "hole"]


def test_lines_of_many_writers_are_whole(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for index in range(20):
            append_tag(tmp_path, make_tag(SAID | {"note": f"{number} {index} " + "x" * 1500}))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    notes = [t["note"].split()[:2] for t in read_tags(tmp_path)]
    assert sorted(notes) == sorted([str(n), str(i)] for n in range(4) for i in range(20))


@pytest.mark.parametrize(
    "wrong",
    [
        {"frame": "3"}, {"frame": True}, {"frame": 1.5}, {"tag": ""}, {"tag": " "}, {"tag": "x" * 61}, {"tag": None},
        {"severity": 0}, {"severity": 4}, {"severity": True}, {"note": "x" * 2001}, {"note": 1}, {"camera": 1},
        {"id": "../x"}, {"id": ""}, {"tag": "a\x00b"}, {"tag": "a\nb"}, {"severity": []},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_tag_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        make_tag(SAID | wrong)


def test_a_link_in_place_of_the_tags_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / TAGS_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError):
        append_tag(tmp_path / "run", make_tag(SAID))
    assert not (tmp_path / "elsewhere").exists()


def test_tags_of_several_runs_are_printed_and_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        write_scored_run(tmp_path / name, {("a", 3): 20.0})
    append_tag(tmp_path / "one", make_tag(SAID | {"severity": 1}))
    append_tag(tmp_path / "two", make_tag(SAID))
    append_tag(tmp_path / "two", make_tag(SAID | {"tag": "hole"}))
    assert main(["view", str(tmp_path), "--tags"]) == 0
    heading, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert heading == ["severity", "tag", "run", "camera", "frame", "note"]
    assert rows[0] == ["3", "bad hand", "two", "a", "3", "Daumen fehlt links"] and len(rows) == 3
    assert main(["view", str(tmp_path), "--tags", "--tag", "bad hand", "--severity", "2"]) == 0
    assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()] == ["run", "two"]
    roots = [(name, tmp_path / name) for name in ("one", "two")]
    assert len(chosen_tags(roots, "hole")) == 1


def test_the_report_says_what_was_tagged_and_severe_things_first(tmp_path: Path) -> None:
    append_tag(tmp_path, make_tag(SAID | {"severity": 1, "note": ""}))
    append_tag(tmp_path, make_tag(SAID | {"camera": None, "tag": "hole", "note": "<b>am Knie</b>"}))
    assert _tags(tmp_path) == (
        ViewTag(None, 3, "hole", 3, "<b>am Knie</b>"),
        ViewTag("a", 3, "bad hand", 1, ""),
    )


def test_the_server_keeps_tags_beside_the_run_and_nothing_else(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path / "one", {("a", 3): 20.0})
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with served([run], labels=("my own",)) as address:
        name = ids_of(address)["one"]
        assert get_json(f"{address}/api/index")["labels"] == ["my own"]
        made = get_json(f"{address}/api/tags/{name}", SAID)
        assert get_json(f"{address}/api/tags?ids={name}")[name] == [made]
        assert get(f"{address}/api/tags/{name}", body=SAID | {"severity": 9})[0] == 404
        assert get(f"{address}/api/tags/{name}", body=b"[]")[0] == 404
        assert "bad hand" in get_json(f"{address}/api/index")["labels"]
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert after.pop(run / TAGS_FILE) and after == before
