"""Runs as they lie on a disk, with scores and pictures that were made up: nothing was reconstructed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simulacra.recon.evaluate.protocol import Protocol, lock_protocol
from simulacra.recon.evaluate.scores import collect
from simulacra.recon.evaluate.scoring import Evaluation, write_metrics
from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.runs.configuration import changed_config, dump_config, load_config
from simulacra.recon.runs.files import write_json
from simulacra.recon.runs.stages import digest_folder, stage_key
from simulacra.render.image import write_image
from simulacra.tools.commands.configurations import brought_configs

CAMERAS, FRAMES = ("0", "1", "2"), tuple(range(8))
PROTOCOL = lock_protocol(CAMERAS, FRAMES, held_out_cameras=("2",))
STAGES = ("preflight", "observe", "fit", "refine", "avatar", "evaluate")
SETTINGS = {"longest_side": 512, "alpha_threshold": 0.5, "crop_margin": 0.1, "least_confidence": 0.5}


def plant_run(
    run: Path, *, gain: float = 0.0, steps: int = 10, protocol: Protocol = PROTOCOL, session: str = "s"
) -> Path:
    """A complete run of the configuration `smoke` with other steps.

    Views are of 20 dB and a sine of 3 dB over the frames, plus the gain and 0.01 dB of noise that the steps decide.
    """
    config = load_config(ReconstructionConfig, brought_configs()["smoke"])
    config = changed_config(config, {"avatar.steps": steps}, "a test")
    for stage in STAGES:
        (run / stage).mkdir(parents=True)
    noise = np.random.default_rng(steps)
    values = {v: float(20 + 3 * np.sin(v.frame) + gain + 0.01 * noise.normal()) for v in protocol.evaluated}
    evaluation = Evaluation(
        protocol, {"psnr_fg": collect("psnr_fg", dict(values))}, SETTINGS | {"mask_sources": {}}
    )
    write_metrics(run / "evaluate" / "metrics.json", evaluation)
    for view in protocol.evaluated[:3]:
        for kind in ("photo", "render", "difference"):
            stem = f"{view.camera}_{view.frame:06d}_{kind}.png"
            write_image(run / "evaluate" / "views" / stem, np.full((16, 12, 3), 0.5, np.float32))
    losses = np.linspace(1, 0.1, steps)
    np.savez(run / "avatar" / "losses.npz", step=np.arange(float(steps)), total=losses)
    described = {}
    for stage in STAGES:
        said = {"version": 1, "config": {}, "inputs": {}, "digest": digest_folder(run / stage)}
        write_json(run / stage / "stage.json", said | {"key": stage_key(stage, 1, {}, {})})
        described[stage] = {"seconds": 1.0, "peak_mb": 1.0, "skipped": False, "digest": said["digest"]}
    facts = {"config_name": "smoke", "session": f"/captures/{session}", "session_fingerprint": session * 40}
    write_json(run / "run.json", {"config": dump_config(config), "stages": described, **facts})
    return run
