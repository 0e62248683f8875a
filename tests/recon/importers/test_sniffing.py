"""What a capture is, for every layout that is read; where it cannot be told, what it could be."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from simulacra.recon.importers.sniffing import SNIFFERS, find_capture
from simulacra.recon.session import load_session
from simulacra.render.runtime.errors import InputError
from simulacra.tools.cli import main, parse
from simulacra.tools.commands.imports import OPTIONS
from tests.recon.ellipsoid_person import write_caliscope, write_qualisys, write_rgbd_rig
from tests.recon.importers.foreign_captures import (
    write_colmap,
    write_easymocap,
    write_nerfstudio,
    write_pose2sim,
)
from tests.recon.importers.fuzz_seeds import SEEDS, written

CAPTURES = {
    name: layout
    for name in SEEDS
    for layout in sorted(OPTIONS, key=len)
    if name.startswith(layout) and name != "truedepth-metadata"
}
# Its calibration is in librealsense's words, which the more special of the two layouts reads too.
CAPTURES["color-depth-separate"] = "realsense"


@pytest.mark.parametrize("name", CAPTURES)
def test_every_capture_is_known(tmp_path: Path, name: str) -> None:
    """Also from outside, and with what people leave beside it."""
    src = written(SEEDS[name], tmp_path / "my captures/of today")
    (src / "notes.txt").write_text("at noon")
    (src / ".DS_Store").write_bytes(b"")
    (found,) = find_capture(src)
    assert found.sniffer.layout == CAPTURES[name]
    assert found.src in (src, *src.iterdir()) and found.reason
    if found.sniffer.confidence != "possible":
        assert find_capture(tmp_path) == [found]


def test_every_layout_has_a_sniffer() -> None:
    assert {one.layout for one in SNIFFERS} == set(OPTIONS)


@pytest.mark.parametrize(
    ("folder", "inner", "layout"),
    [
        ("caliscope_charuco_calibration", ".", "caliscope"),
        ("pose2sim_single", ".", "qualisys"),
        ("pose2sim_static_tpose", ".", "qualisys"),
        ("rgbd_stage8/static_data0", ".", "rgbd-rig"),
        ("rgbd_stage8/static_data3", ".", "rgbd-rig"),
        ("ddrnet_rgbd", "20170907/group1", "color-depth"),
        ("truedepth_portrait", "heic_face_data.heic", "truedepth"),
    ],
)
def test_real_captures_are_known(
    capture_folder: Callable[[str], Path], folder: str, inner: str, layout: str
) -> None:
    root = capture_folder(folder.partition("/")[0])
    src = root.parent / folder
    (found,) = find_capture(src)
    assert (found.src.resolve(), found.sniffer.layout) == ((src / inner).resolve(), layout)


def test_the_scale_of_depth_is_proposed(capture_folder: Callable[[str], Path]) -> None:
    """Ten thousandths of a metre in the ring, by where its cameras' axes meet; millimetres of one camera."""
    root = capture_folder("rgbd_stage8")
    (ring,) = find_capture(root / "static_data0")
    assert list(ring.sniffer.propose(ring.src)) == ["--depth-scale", "10000"]
    (one,) = find_capture(capture_folder("ddrnet_rgbd"))
    assert list(one.sniffer.propose(one.src)) == ["--depth-scale", "1000", "--depth-is", "aligned"]


def test_what_could_be_two_things_is_said_with_both_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nerfstudio(tmp_path / "src", cameras=2)
    write_colmap(tmp_path / "src", cameras=2)
    assert main(["import", str(tmp_path / "src"), str(tmp_path / "s")]) == 2
    said = capsys.readouterr().err
    assert "several layouts" in said
    for layout in ("nerfstudio", "colmap"):
        assert (
            f"simulacra import {layout} {tmp_path / 'src'} {tmp_path / 's'} --scale 1 --world-up cameras"
            in said
        )


def test_qualisys_own_file_goes_before_a_conversion_of_it(tmp_path: Path) -> None:
    write_qualisys(tmp_path, cameras=1, frames=1)
    write_pose2sim(tmp_path, cameras=1, frames=1)
    (found,) = find_capture(tmp_path)
    assert found.sniffer.layout == "qualisys"


def test_several_captures_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rgbd_rig(tmp_path / "all/a", cameras=1, size=32)
    write_caliscope(tmp_path / "all/b", cameras=1, frames=1)
    assert main(["import", str(tmp_path / "all"), str(tmp_path / "s")]) == 2
    said = capsys.readouterr().err
    assert "2 captures" in said and f"rgbd-rig: COLOR, PARAM in {tmp_path / 'all/a'}" in said


def test_what_is_no_capture_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.doc").write_text("")
    assert main(["import", str(tmp_path), str(tmp_path / "s")]) == 2
    said = capsys.readouterr().err
    assert "cannot be told" in said and "1 .doc" in said and re.search("caliscope +camera_array.toml", said)
    assert main(["import", str(tmp_path / "none"), str(tmp_path / "s")]) == 2
    assert "no such capture" in capsys.readouterr().err


def test_import_without_a_layout_is_the_command_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_easymocap(tmp_path / "src", cameras=1, frames=1)
    rest = [str(tmp_path / "src"), str(tmp_path / "s"), "--units", "m"]
    one, other = parse(["import", *rest]), parse(["import", "opencv-yaml", *rest])
    assert (one.args, one.func) == (other.args, other.func)  # type: ignore[attr-defined]
    assert "is of the layout opencv-yaml: intri.yml, extri.yml" in capsys.readouterr().err


def test_a_folder_that_is_called_as_a_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_qualisys(tmp_path / "pose2sim", cameras=1, frames=1)
    assert parse(["import", "pose2sim", "s"]).args[:2] == (Path("pose2sim"), Path("s"))  # type: ignore[attr-defined]
    assert parse(["import", "pose2sim", "s"]).func is parse(["import", "qualisys", "x", "s"]).func  # type: ignore[attr-defined]
    assert parse(["import", "pose2sim", "x", "s"]).func is not parse(["import", "pose2sim", "s"]).func  # type: ignore[attr-defined]


def test_what_the_files_do_not_say_is_asked_for_with_the_whole_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_colmap(tmp_path / "my src", cameras=2)
    words = ["import", str(tmp_path / "my src"), str(tmp_path / "s"), "--world_up=+z"]
    assert main(words) == 2
    said = capsys.readouterr().err.splitlines()
    assert re.search(r"--scale, METRES \S+: metres in one unit", "\n".join(said))
    command = f"simulacra import colmap '{tmp_path / 'my src'}' {tmp_path / 's'} --world_up=+z --scale 1"
    assert said[-1].endswith(command)
    assert main([*words, "--scale", "1"]) == 0
    assert len(load_session(tmp_path / "s").cameras) == 2


def test_a_wrong_layout_is_told_the_right_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_qualisys(tmp_path / "src", cameras=1, frames=1)
    assert main(["import", "pose2sim", str(tmp_path / "src"), str(tmp_path / "s")]) == 2
    said = capsys.readouterr().err
    assert "one calibration" in said and f"simulacra import {tmp_path / 'src'} {tmp_path / 's'}" in said
    # An error of the right layout keeps its own remedy.
    shutil.rmtree(tmp_path / "src/videos")
    assert main(["import", "qualisys", str(tmp_path / "src"), str(tmp_path / "s")]) == 2
    assert "simulacra import" not in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["qualisys", "rgbd-rig", "caliscope"])
def test_the_last_line_is_the_whole_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    src, session = tmp_path / "src", tmp_path / "my session"
    words, config = {
        "qualisys": ([], "multiview_video"),
        "rgbd-rig": (["--depth-scale", "10000"], "studio_rgbd"),
        # Small pictures of a ring of two metres: whole bodies.
        "caliscope": ([], "multiview_video"),
    }[layout]
    if layout == "qualisys":
        write_qualisys(src, frames=2)
    elif layout == "rgbd-rig":
        write_rgbd_rig(src, size=32)
    else:
        write_caliscope(src, frames=2)
    assert main(["import", str(src), str(session), *words]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    command = f"simulacra reconstruct '{session}' --config {config}"
    assert re.fullmatch(rf"Next: {re.escape(command)}.* --out '{re.escape(str(session))}-run'", last)


def test_nothing_is_sniffed_of_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such capture"):
        find_capture(tmp_path / "none")
