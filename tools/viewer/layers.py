"""Which pictures there can be of a run or a capture, and why others cannot."""

from __future__ import annotations

from .summary import Summary

# Those that are made of two pictures, those of the capture alone, and those that need the run.
DERIVED = ("difference", "against", "change")
CAPTURED = ("photo", "measured")
DRAWN = ("person", "render", "overlay", "depth", "normals", "parts", "body", "mask", "keypoints")
# Of the scored views these lie in the run as files.
IN_FILES = ("person", "render", "difference")
OF_BODY = ("body", "keypoints")


def missing_layers(summary: Summary) -> dict[str, str]:
    """The layers that there are of no view, each with the reason in words."""
    return {
        layer: reason
        for layer in (*CAPTURED, *DRAWN, "difference")
        if (reason := _reason(summary, layer)) is not None
    }


def _reason(summary: Summary, layer: str) -> str | None:
    if layer == "measured" and not any(camera.get("depth") for camera in summary.cameras):
        return "the capture has no depth"
    if summary.entry.kind == "session":
        return None if layer in CAPTURED else "nothing has been reconstructed of this capture yet"
    if layer in IN_FILES and summary.scored:
        return None
    if summary.session is None:
        return "the capture of this run has gone"
    if layer not in CAPTURED and "avatar" not in summary.stages:
        return "this run has no avatar yet"
    return "this run has no body" if layer in OF_BODY and "fit" not in summary.stages else None
