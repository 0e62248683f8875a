"""Read a session: pictures, depth, cameras. `python examples/read_session.py SESSION`.

Without one of your own: `python examples/virtual_capture.py SESSION` makes one.
"""

from pathlib import Path

import numpy as np
import torch
import tyro

from simulacra.recon.session import load_session


def main(session: Path) -> np.ndarray:
    """Returns the person's surface in the first frame as points of the world, metres, from all depth cameras."""
    opened = load_session(session)
    frame = opened.frame_indices[0]
    points = [np.zeros((0, 3), np.float32)]
    for camera in opened.cameras:
        if not opened.has(frame, camera.name):
            continue
        picture = opened.image(frame, camera.name)  # h w 3, sRGB in 0..1, the lens taken out
        mask = opened.mask(frame, camera.name)  # h w, or None where the session has none
        measured = opened.depth(frame, camera.name)  # metres and where they are valid, or None
        print(
            f"camera {camera.name}: {picture.shape[1]} x {picture.shape[0]}, focal length {camera.K[0, 0]:.0f} px"
        )
        if measured is None or mask is None:
            continue
        depth, valid = measured
        world = opened.cameras_as_tensors(camera.name).unproject(torch.from_numpy(depth)[None])[0]
        points.append(world.numpy()[valid & (mask > 0.5)])
    return np.concatenate(points)


if __name__ == "__main__":
    surface = tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
    if len(surface):
        low, high = np.quantile(surface, [0.001, 0.999], axis=0)
        print(f"{len(surface)} points, from {low.round(2)} to {high.round(2)} m")
