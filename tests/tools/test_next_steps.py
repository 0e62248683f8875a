"""What to do is said as commands with the session's own path, which work as they stand."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from simulacra.recon.preflight import Check, Preflight
from simulacra.recon.preflight.free_running import SYNCHRONISE
from simulacra.recon.session import load_session
from simulacra.render.runtime.errors import CaptureError
from simulacra.tools.cli import main, parse
from simulacra.tools.commands.arguments import is_linked
from simulacra.tools.commands.next_steps import import_command, name_commands, naming_commands, with_commands
from tests.recon.ellipsoid_person import synthetic_session, write_caliscope, write_rgbd_rig


def test_a_session_and_a_new_one_are_named_by_their_paths() -> None:
    said = name_commands(f"started one by one? {SYNCHRONISE}", Path("my session"))
    command = said.partition("? ")[2]
    assert command == "simulacra synchronise 'my session' --out 'my session-synchronised'"
    call = parse(shlex.split(command)[1:])
    assert call.keywords["out"] == Path("my session-synchronised")  # type: ignore[attr-defined]
    assert "SESSION" not in name_commands("SESSION and SESSION", Path("s"))


def test_calibrating_again_is_a_command_once_and_where_the_person_tells() -> None:
    def check(code: str, status: str = "warn") -> Check:
        return Check(code, "cam 1", 1.0, "", "0", status, "calibrate cam1 again, or leave it out")  # type: ignore[arg-type]

    record = Preflight((check("focal"), check("epipolar", "pass"), check("camera-pose"), check("epipolar")))
    remedies = [each.remedy for each in with_commands(record, Path("s")).checks]
    plain = "calibrate cam1 again, or leave it out"
    adjusted = (
        "calibrate cam1 again (on the person: simulacra calibrate rig s --out s-calibrated), or leave it out"
    )
    assert remedies == [plain, plain, adjusted, plain]


def test_importing_again_is_the_command_that_made_the_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rgbd_rig(tmp_path / "a rig", cameras=2, frames=("F1",), size=32)
    session = tmp_path / "s"
    words = ["--depth-scale", "5000", "--world-up", "-y"]
    assert main(["import", "rgbd-rig", str(tmp_path / "a rig"), str(session), *words]) == 0
    capsys.readouterr()
    said = name_commands("doubled: import again", session, load_session(session).about)
    command = said.partition("(")[2].removesuffix(")")
    call = parse(shlex.split(command)[1:])
    assert call.args == (tmp_path / "a rig", tmp_path / "s-again")  # type: ignore[attr-defined]
    options = call.keywords["options"]  # type: ignore[attr-defined]
    assert (options.depth_scale, options.world_up) == (5000, "-y")
    assert main(shlex.split(command)[1:]) == 0
    # Made by no import, or of what is no longer there.
    assert (
        import_command({"importer": "virtual", "derived_from": str(tmp_path), "arguments": {}}, "n") is None
    )
    assert import_command({"importer": "qualisys", "derived_from": "gone", "arguments": {}}, "n") is None
    assert import_command({}, "n") is None


def test_an_error_of_a_reconstruction_names_the_session_too() -> None:
    with pytest.raises(CaptureError) as raised, naming_commands(Path("of mine")):
        raise CaptureError("late", remedy=SYNCHRONISE)
    assert raised.value.lines()[-1].endswith("simulacra synchronise 'of mine' --out 'of mine-synchronised'")


def test_a_failed_preflight_says_which_option_goes_on_regardless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Preflight((Check("stature", "all", 17.0, "m", "2", "fail", "another scale"),))
    with pytest.raises(CaptureError) as raised:
        record.raise_on_fail(("blur",))
    assert str(raised.value.remedy).endswith("or go on regardless: --preflight.ignore blur,stature")
    session = synthetic_session(tmp_path / "s", cameras=4, size=32).root
    words = [
        "reconstruct",
        str(session),
        "--print-config",
        "--config",
        "smoke",
        "--preflight.ignore",
        "blur,stature",
    ]
    assert main(words) == 0
    assert "- stature" in capsys.readouterr().out


def test_an_import_ends_with_one_next_step_and_says_that_files_are_shared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_caliscope(tmp_path / "src", cameras=3, frames=2)
    session = tmp_path / "s"
    assert main(["import", str(tmp_path / "src"), str(session)]) == 0
    said = capsys.readouterr().out
    assert said.count("simulacra ") == 1 and said.splitlines()[-1].startswith("Next: simulacra reconstruct ")
    assert said.count("hard links to those it was made of") == 1
    assert is_linked(load_session(session))
    # Of files that are its own nothing is said.
    described = json.loads((session / "session.json").read_text())
    for frame in described["frames"]:
        for source in frame["sources"].values():
            path = session / source["file"]
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
    assert not is_linked(load_session(session))
