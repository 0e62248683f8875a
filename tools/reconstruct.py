"""`simulacra reconstruct`: finds and reads the configuration, and hands it to the pipeline."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from simulacra.recon.runs.configuration import format_config, load_config
from simulacra.render.runtime.errors import ConfigError, RunError

from .warm import warm_up


def run_reconstruct(
    session: Path,
    out: Path | None,
    config: str | None,
    overrides: Sequence[str] = (),
    *,
    print_config: bool = False,
) -> None:
    """Reconstruct a session, or with `print_config` only say how it would be.

    Raises:
        ConfigError: no such configuration, an unknown key, a wrong value.
        RunError: no output folder was named.
        UserError: whatever the stages find wrong.
    """
    from simulacra.recon.pipeline import ReconstructionConfig, reconstruct

    resolved = load_config(ReconstructionConfig, config_file(config), overrides)
    if print_config:
        sys.stdout.write(format_config(resolved))
        return
    if out is None:
        raise RunError("A folder for the run is needed", remedy="say which: --out RUN")
    warm_up(
        quiet=True
    )  # with a line that says what is compiled, where somebody would otherwise wait in the middle
    reconstruct(session, resolved, out, config_name(config))
    from .report import write_run_report

    report = write_run_report(out).resolve()
    print(f"report: {report}\nto see it, open it in a browser: {report.as_uri()}")


def config_file(given: str | None, folder: str = "") -> Path | None:
    """The file that is meant: a path, or the name of one that simulacra brings (`studio_rgbd`,
    `configs/demo.yaml`).

    Args:
        folder: of those that simulacra brings; in another they are named with it (`stage/rgbd_ring`).

    Raises:
        ConfigError: there is neither.
    """
    if given is None or Path(given).is_file():
        return Path(given) if given else None
    brought = brought_configs()
    name = config_name(given)
    name = f"{folder}/{name}" if f"{folder}/{name}" in brought else name
    if name not in brought:
        raise ConfigError(
            "There is no such configuration",
            where=given,
            expected="a YAML file, or one of " + ", ".join(brought),
            found="neither",
        )
    return brought[name]


def config_name(given: str | None) -> str:
    """What a configuration is called: by its name (`baselines/depth_splats`), or its file's; nothing without one."""
    if given is None or Path(given).is_file():
        return Path(given).stem if given else ""
    return given.removeprefix("configs/").removesuffix(".yaml")


def brought_configs() -> dict[str, Path]:
    """The configurations that simulacra brings, by name (`studio_rgbd`, `baselines/depth_splats`)."""
    with resources.as_file(resources.files("simulacra.configs")) as folder:
        return {
            file.relative_to(folder).with_suffix("").as_posix(): file
            for file in sorted(folder.rglob("*.yaml"))
        }
