"""`simulacra design`: what a rig would give, before it is bought."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Suppress, arg

from simulacra.render.runtime.errors import RunError

from .arguments import Config
from .configurations import config_file
from .outputs import OptionalFolder

if TYPE_CHECKING:
    from ..design.config import DesignConfig


def design(
    out: OptionalFolder = None,
    config: Config = None,
    beside: Annotated[tuple[Path, ...], arg(metavar="RUN [RUN ...]")] = (),
    again: bool = False,
    print_config: bool = False,
    overrides: Suppress[tuple[str, ...]] = (),
) -> None:
    """Say what a rig would give: virtual captures of it through the whole reconstruction, with true errors.

    A design names rigs and what is varied (cameras, depth, noise, clocks, calibration); see configs/design. Every point
    is kept in OUT/points: a design that grows, or was stopped, measures only what is new.

    Args:
        out: the folder for the page, the record and the kept points.
        config: a YAML file, or the name of one of configs/design.
        beside: finished runs of real captures, to show beside.
        again: measure everything again.
        print_config: print the whole configuration as YAML and stop.
    """
    from .plain_schema import check_configuration

    # What is wrong with names and options is said before anything heavy is loaded.
    check_configuration("design", config_file(config, "design"), overrides)
    if out is None and not print_config:
        raise RunError("A folder for the design is needed", remedy="say which: --out DESIGN")
    from ..design.command import run_design

    run_design(out, config, overrides, beside=beside, again=again, print_config=print_config)


def design_schema() -> type[DesignConfig]:
    """The configuration that the command takes options of."""
    from ..design.config import DesignConfig

    return DesignConfig
