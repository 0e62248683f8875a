"""Record a virtual capture, and look its truth up: `python examples/virtual_capture.py SESSION`.

A person walks before four depth cameras; the session is one like any other, with the truth in its folder `truth`.
"""

from pathlib import Path

import numpy as np
import torch
import tyro

from simulacra.recon.session.truth import read_truth
from simulacra.render.image import write_image
from simulacra.tools.virtual.capture import record_session
from simulacra.tools.virtual.config import PersonConfig, VirtualCaptureConfig
from simulacra.tools.virtual.motion import MotionConfig
from simulacra.tools.virtual.rig import RigConfig
from simulacra.tools.virtual.sensors.depth import TimeOfFlight


def main(session: Path, frames: int = 3, size: int = 256) -> float:
    """Returns which share of the true joints is inside the true silhouette; draws both into SESSION.png."""
    rig = RigConfig(count=4, width=size, height_px=size)
    parts = {"person": PersonConfig(seed=3), "motion": MotionConfig(name="walk"), "depth": TimeOfFlight()}
    settings = VirtualCaptureConfig(rig=rig, masks=True, frames=frames, **parts)
    recorded = record_session(settings, session)
    truth, name = read_truth(recorded), recorded.camera_names[0]
    joints = torch.from_numpy(truth.frame(0).joints)  # of the body's bones, metres, world
    (pixels,), _ = recorded.cameras_as_tensors(name).project(joints)
    columns, rows = pixels.numpy().astype(int).T
    picture, view = recorded.image(0, name), truth.view(0, name)
    drawn = np.hstack([picture, view.normals / 2 + 0.5, view.mask[..., None].repeat(3, -1)])
    drawn[rows, columns + 2 * size] = 1.0, 0.1, 0.1
    write_image(session.with_suffix(".png"), drawn)
    return float((view.mask[rows, columns] > 0.5).mean())


if __name__ == "__main__":
    inside = tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
    print(f"{100 * inside:.0f} % of the true joints lie inside the true silhouette")
