"""What exported splats lose: written, read by another program, drawn, and compared with the run's own picture.

    python -m simulacra.tools.bench.exports RUN ...

prints a table; needs the readers that are installed with the extra `dev`.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from simulacra.recon.avatar.finished import FinishedAvatar, open_avatar
from simulacra.recon.avatar.pictures import BACKDROP, bounding_sphere, turntable_cameras
from simulacra.recon.export_run import REST, choose_poses, write_splats
from simulacra.recon.perception.psnr import psnr
from simulacra.render.camera import Cameras, look_at
from simulacra.render.export.ply import half_turn
from simulacra.render.export.rigged import write_rigged
from simulacra.render.figure import GaussianFigure
from simulacra.render.gaussians import OUTLINE_EPS2D, Gaussians, rasterize_gaussians
from simulacra.render.image import composite
from simulacra.tools.bench.read_back import READERS
from simulacra.tools.player.run import rigged_content

SIZE = 512
# A picture of the head alone: so many pixels a metre in front of the camera, from so many metres.
HEAD_FOCAL, HEAD_DISTANCE = 900.0, 0.6
# Formats whose axes are ours.
UPRIGHT = ("glb-splats", "avatar")


@dataclass(frozen=True)
class Lost:
    """What is left of a run in one format.

    Attributes:
        format: its name.
        count: Gaussians.
        megabytes: of the file, millions of bytes.
        whole_db: of a picture of the person, between the run's own and the one drawn from the file.
        head_db: of a picture of the head alone.
    """

    format: str
    count: int
    megabytes: float
    whole_db: float
    head_db: float


def measure(avatar: FinishedAvatar, form: str, folder: Path) -> Lost:
    """Writes, reads and draws one format, in the rest pose."""
    poses = choose_poses(avatar, REST, 30.0)
    ours = avatar.posed(poses.pose)
    out = folder / f"avatar.{form.partition('-')[0]}"
    if form == "avatar":
        write_rigged(out, rigged_content(avatar, poses.pose, 30.0))
    else:
        write_splats(out, avatar, poses, form)
    back = READERS[form](out)
    theirs = back if form in UPRIGHT else half_turn(back)
    views = (whole_camera(ours), head_camera(avatar))
    decibels = [float(psnr(draw(theirs, view), draw(ours, view))) for view in views]
    return Lost(form, len(back), out.stat().st_size / 1e6, *decibels)


def draw(gaussians: Gaussians, cameras: Cameras) -> torch.Tensor:
    """The picture of the run's own renderer, ``h w 3``."""
    with torch.no_grad():
        drawn = rasterize_gaussians(gaussians, cameras, eps2d=OUTLINE_EPS2D)
    return composite(drawn.rgb_premul[0], drawn.alpha[0], torch.tensor(BACKDROP)).clamp(0, 1)


def whole_camera(gaussians: Gaussians) -> Cameras:
    """Sees the whole person from in front."""
    return turntable_cameras(bounding_sphere(GaussianFigure(gaussians)), 1, SIZE)[0]


def head_camera(avatar: FinishedAvatar) -> Cameras:
    """Sees the head from in front, in the rest pose."""
    body = avatar.body
    bones = body.pose(avatar.rig.rest, body.zero_pose(), vertices=body.soles[:1]).T_world_bone[0, :, :3, 3]
    eyes = bones[[body.bone_names.index(f"eye.{side}") for side in "LR"]].mean(0, keepdim=True)
    return look_at(eyes + eyes.new_tensor([0, 0, HEAD_DISTANCE]), eyes, HEAD_FOCAL, SIZE, SIZE)


def main(runs: list[str]) -> int:
    """Prints the table."""
    print("| run | format | Gaussians | MB | whole person, dB | head, dB |\n|---|---|---|---|---|---|")
    for run in map(Path, runs):
        avatar = open_avatar(run)
        with tempfile.TemporaryDirectory() as folder:
            for form in READERS:
                lost = measure(avatar, form, Path(folder))
                db = " | ".join(f"{value:.1f}" for value in (lost.whole_db, lost.head_db))
                print(f"| {run.name} | {form} | {lost.count} | {lost.megabytes:.2f} | {db} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
