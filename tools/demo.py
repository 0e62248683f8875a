"""`simulacra demo`: from nothing to an avatar of a real person and a report, with one command."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from simulacra.render.runtime.assets import asset_path, asset_status

from .outside_files import fetch_with_progress
from .reconstruct import run_reconstruct


def run_demo(out: Path, config: str) -> None:
    """Fetch the demo capture, import it into `out`/session, reconstruct it into `out`/run, say what to look
    at.

    Raises:
        AssetError: outside files are missing and there is no connection.
        UserError: whatever the stages find wrong, a full disk for example.
    """
    console = Console()
    missing = [status.asset.name for status in asset_status() if status.state != "here"]
    if missing:
        console.print("Outside files: the capture, the networks and the body's data")
        fetch_with_progress(missing, console)
    session = out / "session"
    if not (session / "session.json").exists():
        from simulacra.recon.importers.qualisys import import_qualisys

        import_qualisys(asset_path("demo_capture"), session)
    run = out / "run"
    run_reconstruct(session, run, config)
    console.print(f"to move the avatar: simulacra animate {run} MOTION.bvh --out clip.mp4", soft_wrap=True)
