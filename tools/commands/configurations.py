"""The configurations that simulacra brings."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from simulacra.render.runtime.errors import ConfigError


def config_file(given: str | None, folder: str = "") -> Path | None:
    """The file that is meant: a path, or the name of one that simulacra brings (`studio_rgbd`,
    `configs/demo.yaml`).

    Args:
        given: what was said; None is no file.
        folder: of those that simulacra brings; in another they are named with it (`stage/rgbd_ring`).

    Raises:
        ConfigError: there is neither.
    """
    if given is None or _is_file(given):
        return Path(given) if given else None
    brought = brought_configs()
    name = given.removeprefix("configs/").removesuffix(".yaml")
    name = f"{folder}/{name}" if f"{folder}/{name}" in brought else name
    if name not in brought:
        names = names_for(folder)
        near = difflib.get_close_matches(name.rpartition("/")[2], names, n=1)
        raise ConfigError(
            "There is no such configuration",
            where=given,
            expected="a YAML file, or one of " + ", ".join(names),
            found="neither",
            remedy=f"perhaps {near[0]}" if near else None,
        )
    return brought[name]


def names_for(folder: str = "") -> list[str]:
    """What `--config` can be called with: of stage and design those in their folder, of a reconstruction all others.

    Args:
        folder: "stage", "design", or "" for a reconstruction.
    """
    if folder:
        return [n.removeprefix(f"{folder}/") for n in brought_configs() if n.startswith(f"{folder}/")]
    return [name for name in brought_configs() if not name.startswith(("stage/", "design/"))]


def config_name(given: str | None) -> str:
    """What a configuration is called: by its name (`baselines/depth_splats`), or its file's; nothing without one."""
    if given is None or _is_file(given):
        return Path(given).stem if given else ""
    return given.removeprefix("configs/").removesuffix(".yaml")


def _is_file(given: str) -> bool:
    try:
        return Path(given).is_file()
    except OSError as error:  # a name that is longer than names can be
        raise ConfigError(
            "There can be no such file", where=f"{given[:80]}...", found=error.strerror
        ) from error


def brought_configs() -> dict[str, Path]:
    """The configurations that simulacra brings, by name (`studio_rgbd`, `baselines/depth_splats`)."""
    with resources.as_file(resources.files("simulacra.configs")) as folder:
        return {
            file.relative_to(folder).with_suffix("").as_posix(): file
            for file in sorted(folder.rglob("*.yaml"))
        }
