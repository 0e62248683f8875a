"""A run's records as arrays: `python examples/run_records.py RUN`, of a run that `simulacra reconstruct` made."""

import json
from pathlib import Path

import numpy as np
import tyro

from simulacra.recon.avatar.record import load_trained
from simulacra.recon.fit import load_fit
from simulacra.recon.observe import load_observations


def main(run: Path) -> dict[str, np.ndarray]:
    """Returns what was observed, fitted, trained and scored; ``t`` frames, ``c`` cameras, ``n`` Gaussians."""
    observed, fit = load_observations(run / "observe"), load_fit(run / "fit")
    avatar = load_trained(run / "avatar").avatar
    assert avatar is not None, "a run of a configuration with a body"
    scores = json.loads((run / "evaluate" / "metrics.json").read_text())["scores"]
    return {
        "frames": fit.frames,  # t: numbers of the session's frames
        "detected": observed.pose_px,  # t c 33 2: landmarks in pixels, NaN where there are none
        "visibility": observed.pose_visibility,  # t c 33
        "phenotypes": fit.shape.phenotypes.numpy(),  # the one shape of the person
        "rotations": fit.pose.rotations.numpy(),  # t j 3: axis-angle of every bone
        "translation": fit.pose.translation.numpy(),  # t 3: metres
        "residual_px": fit.residual_px,  # t c 33: fitted against detected landmarks
        "means": avatar.gaussians.means.numpy(),  # n 3: at rest, metres
        "opacities": avatar.gaussians.logit_opacities.sigmoid().numpy(),  # n
        "faces": avatar.binding.faces.numpy(),  # n: the face of the body on which each hangs
        "psnr_fg": np.array(
            [view["value"] for view in scores["psnr_fg"]["views"]]
        ),  # a number a scored view, dB
    }


if __name__ == "__main__":
    for name, array in tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,)).items():
        print(f"{name:12s} {array.dtype!s:8s} {array.shape}")
