"""`simulacra bench drive`: frames a second of a moving avatar, skinning and drawing together."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from rich.console import Console

from simulacra.render.avatar import drive
from simulacra.render.gaussians import rasterize_gaussians, warmup

from .avatar_scene import avatar_scene
from .printing import Column, print_rows


@dataclass(frozen=True)
class DriveRow:
    """One number of threads: frames a second over the whole clip, and the median milliseconds of its two parts."""

    threads: int
    frames_per_second: float
    drive_ms: float
    draw_ms: float


def run(
    *, gaussians: int = 50_000, size: int = 512, frames: int = 60, as_json: bool = False
) -> list[DriveRow]:
    """Drive and draw a waving avatar frame after frame, and print a table or JSON lines."""
    threads = torch.get_num_threads()
    warmup()
    with Console(stderr=as_json).status("preparing an avatar"):
        scene = avatar_scene(gaussians, size)
    poses = [scene.pose(frame) for frame in range(frames)]
    rows = []
    try:
        for count in sorted({1, threads}):
            torch.set_num_threads(count)
            driven, drawn = [], []
            with torch.no_grad():
                rasterize_gaussians(drive(scene.avatar, scene.rig, poses[0]), scene.cameras)
                begun = time.perf_counter()
                for pose in poses:
                    start = time.perf_counter()
                    world = drive(scene.avatar, scene.rig, pose)
                    middle = time.perf_counter()
                    rasterize_gaussians(world, scene.cameras)
                    driven.append(middle - start)
                    drawn.append(time.perf_counter() - middle)
                seconds = time.perf_counter() - begun
            rows.append(DriveRow(count, frames / seconds, _median_ms(driven), _median_ms(drawn)))
    finally:
        torch.set_num_threads(threads)
    print_rows(rows, COLUMNS, f"An avatar of {gaussians:,} Gaussians, driven and drawn at {size}²", as_json)
    return rows


COLUMNS = (
    Column("threads", lambda row: str(row.threads)),
    Column("frames/s", lambda row: f"{row.frames_per_second:.1f}"),
    Column("drive ms", lambda row: f"{row.drive_ms:.1f}"),
    Column("draw ms", lambda row: f"{row.draw_ms:.1f}"),
)


def _median_ms(seconds: list[float]) -> float:
    return 1e3 * sorted(seconds)[len(seconds) // 2]
