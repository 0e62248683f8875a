"""Which landmark networks a preflight can use: part of what its result depends on."""

from __future__ import annotations

from importlib.util import find_spec

from simulacra.render.runtime.assets import asset_status

NETWORKS = ("pose_detection", "pose_landmark_full")


def describe_networks() -> str:
    """The state and content of each network and of what runs them, in a line.

    Without them checks are left out. A record of that is another than one where they were made, so that they are made
    when what was missing is there.
    """
    files = [f"{status.asset.name} {status.state} {status.found}" for status in asset_status(NETWORKS)]
    runtime = "here" if find_spec("ai_edge_litert") else "missing"
    return "; ".join([*files, f"runtime {runtime}"])
