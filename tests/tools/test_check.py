"""`simulacra check`: table, file and page say the same, and the exit status says whether anything failed."""

import json
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.preflight import Check, Preflight, samples
from simulacra.recon.session import Session
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import InputError
from simulacra.tools.cli import main
from simulacra.tools.commands.check import print_checks
from simulacra.tools.commands.printing import console
from simulacra.tools.report import check_page
from tests.recon.ellipsoid_person import synthetic_session
from tests.recon.preflight.blind import Blind

SIZE = 128


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "NetworkPersonDetector", Blind)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return synthetic_session(tmp_path / "s01", cameras=4, size=SIZE)


def test_a_sound_session_passes_and_the_page_holds_its_pictures(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(session.root), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert said.startswith(("Usable.", "Usable with care, because "))
    assert "0 failed" in said and "depth-frame" in said
    last = said.splitlines()[-1]
    assert last.startswith(f"Next: simulacra reconstruct {session.root} --config studio_rgbd ")
    assert last.endswith(f" --out {session.root}-run")
    record = json.loads((tmp_path / "out" / "preflight.json").read_text())
    assert {check["status"] for check in record["checks"]} <= {"pass", "warn"}
    page = (tmp_path / "out" / "check.html").read_text()
    # A picture and a depth preview of every camera, and nothing from outside.
    assert page.count("data:image/jpeg;base64,") == 8
    assert "http:" not in page and "https:" not in page
    assert not (session.root / "check.html").exists()


def test_what_passed_is_a_line_and_notes_are_another_and_all_shows_them(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = session.root / "session.json"
    described = json.loads(path.read_text())
    described["notes"] = [
        "a key is not used: " + ", ".join(f"name.of.a.key.{k}" for k in range(40)),
        "another",
    ]
    path.write_text(json.dumps(described))
    main(["check", str(session.root), "--out", str(tmp_path / "out")])
    lines = capsys.readouterr().out.splitlines()
    (passed,) = [line for line in lines if " checks passed: " in line]
    count = int(passed.split()[0])
    names = passed.partition(" checks passed: ")[2].removesuffix("; --all shows them").split(", ")
    assert count == len(names) > 20 and "depth-frame" in names
    assert f"2 notes of the import in {path}; --all shows them" in lines
    assert not any("name.of.a.key" in line for line in lines)
    main(["check", str(session.root), "--out", str(tmp_path / "out"), "--all"])
    every = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("pass ") for line in every) == count
    # Longer than a terminal, and in one piece.
    assert f"note: {described['notes'][0]}" in every


def test_lines_are_not_broken_where_there_is_no_terminal(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Preflight((Check("frames", "", 1.0, "frames", "2", "warn", "record " + "more frames " * 30),))
    print_checks(record, console(), every=False, notes_in=session.root / "session.json")
    said = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in said if line.startswith("     do: ")] == [
        "     do: record " + ("more frames " * 30).rstrip()
    ]


def test_a_file_that_fails_only_when_the_page_is_made_is_said(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise InputError("an image cannot be read", where="depth/2/000000.png")

    monkeypatch.setattr(check_page, "depth_picture", fail)
    assert main(["check", str(session.root), "--out", str(tmp_path / "out")]) == 2
    assert "an image cannot be read" in capsys.readouterr().err


def test_a_failed_check_is_said_with_its_remedy_and_ends_with_status_2(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(session.root / "masks/2/000000.png", np.zeros((SIZE, SIZE), np.float32))
    path = session.root / "images/1/000000.png"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SystemExit) as ended:
        main(["check", str(session.root)])
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("Not usable, because files are missing or damaged (1); and the person is hardly ")
    assert said.index("What to do: Copy the files") < said.index(
        "fail storage 1: files are missing or damaged"
    )
    assert "fail person-visible 2:" in said and "do: copy the files" in said
    assert said.endswith(f"When that is done: simulacra check {session.root}")
    page = (session.root.with_name("s01.check") / "check.html").read_text()
    assert page.index("Not usable, because") < page.index("To look at")
    assert " failed," in page and "No picture could be read" in page


def test_a_session_that_cannot_be_loaded_is_a_failed_check_with_the_error_s_code(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described = json.loads((session.root / "session.json").read_text())
    described["cameras"][1]["viewmat"][0] = [-value for value in described["cameras"][1]["viewmat"][0]]
    (session.root / "session.json").write_text(json.dumps(described))
    with pytest.raises(SystemExit):
        main(["check", str(session.root), "--out", str(tmp_path / "out")])
    record = json.loads((tmp_path / "out" / "preflight.json").read_text())
    (check,) = record["checks"]
    assert (check["code"], check["status"]) == ("rotation", "fail")
    assert "camera 1" in check["where"]


def test_no_session_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "nothing")]) == 2
    assert "there is no session" in capsys.readouterr().err
