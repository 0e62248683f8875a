"""Which outside files there are, as assets/manifest.toml lists them: each by name, sha256 and size, and the public
package that it comes out of.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from simulacra.render.runtime.errors import AssetError


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
