"""How a session is best reconstructed, as words for the command line: the configuration, and what is held out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .configurations import brought_configs

if TYPE_CHECKING:
    from simulacra.recon.session import Session

# Cameras of which one or two can be held out, and moments of one camera of which every tenth can.
FEWEST_CAMERAS = 5
FEWEST_MOMENTS = 20
RING = "studio_rgbd"
DESK = "desk_face"
FILM = "multiview_video"


def propose_words(session: Session) -> list[str]:
    """The options of `reconstruct` for a session: a configuration that is brought, and what differs from it.

    Cameras with depth around somebody are a ring, of which cameras are held out; several moments of several cameras are
    a film, of which moments are; what Caliscope recorded are webcams at a desk. Of a single moment one camera in eight
    is held out where there are enough.
    """
    cameras, moments = session.camera_names, len(session.frames)
    depth = sum(camera.depth_scale is not None for camera in session.cameras)
    if depth >= FEWEST_CAMERAS:
        return [
            "--config",
            RING,
            *([] if _held_out_by_ring() <= set(cameras) else _hold_out(_spread(cameras, 2))),
        ]
    if session.about.get("importer") == "caliscope":
        return ["--config", DESK]
    if len(cameras) > 1 and moments > 1:
        return ["--config", FILM]
    if moments >= FEWEST_MOMENTS:
        return ["--views.held_out_every", "10"]
    return _hold_out(_spread(cameras, max(1, len(cameras) // 8))) if len(cameras) >= FEWEST_CAMERAS else []


def say_recorded(session: Session) -> str:
    """How many cameras, moments and so on, in words."""
    cameras, moments = len(session.cameras), len(session.frames)
    depth = sum(camera.depth_scale is not None for camera in session.cameras)
    parts = [f"{cameras} camera{'s' * (cameras > 1)}", f"{moments} moment{'s' * (moments > 1)}"]
    return ", ".join(
        [*parts, *(["depth" if depth == cameras else f"depth of {depth} cameras"] if depth else [])]
    )


def _held_out_by_ring() -> set[str]:
    import yaml

    views = yaml.safe_load(brought_configs()[RING].read_text("utf-8"))["views"]
    return set(views["held_out_cameras"])


def _spread(names: tuple[str, ...], count: int) -> list[str]:
    """So many of them, evenly."""
    return [names[(2 * i + 1) * len(names) // (2 * count)] for i in range(count)]


def _hold_out(names: list[str]) -> list[str]:
    return ["--views.held_out_cameras", str(names)]
