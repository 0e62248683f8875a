"""Real captures of one camera, from the import to an exported avatar, with the configurations made for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simulacra.recon.importers.color_depth import import_color_depth
from simulacra.recon.importers.truedepth import TruedepthOptions, import_truedepth
from simulacra.recon.pipeline import Reconstruction, ReconstructionConfig, reconstruct
from simulacra.recon.preflight import PreflightConfig, preflight
from simulacra.recon.runs.configuration import changed_config, load_config
from simulacra.recon.session import Session
from simulacra.render.runtime.errors import AssetError, MissingExtraError
from simulacra.tools.commands.configurations import brought_configs
from simulacra.tools.commands.export import export
from tests.recon.importers.test_color_depth import ColorDepthOptions, Folders, Intrinsics

QUICK: dict[str, Any] = {
    "preflight": {"frames": 1, "motion_frames": 0},
    "observe": {"looks": 1, "hands": False},
    "fit": {"iterations": 10, "rounds": 3},
    "refine": {"voxel_mm": 6.0, "truncation_mm": 24.0},
    "avatar": {"steps": 5, "longest_side": 192, "count": 3000, "lining": 500},
    "evaluate": {"view": {"longest_side": 192}, "pictures": 1, "turntable": 0},
}


def run(session: Session, name: str, out: Path, **changes: Any) -> Reconstruction:
    """Checked, reconstructed with the configuration of that name but quickly, and exported."""
    settings = load_config(ReconstructionConfig, brought_configs()[name])
    try:
        checks = preflight(session, None, PreflightConfig(frames=1, motion_frames=0))
        checks.raise_on_fail()
        made = reconstruct(session.root, changed_config(settings, QUICK | changes, "this test"), out / "run")
    except (AssetError, MissingExtraError) as missing:
        pytest.skip(f"needs the networks and the body, which `simulacra assets` fetches: {missing.what}")
    export(out / "run", out / "person.ply")
    return made


def surface_errors(made: Reconstruction) -> np.ndarray:
    """Distances along the axis of the refined points from the depth at their pixels, metres."""
    assert made.surface is not None
    camera = made.session.camera_names[0]
    measured = made.session.depth(made.surface.frame, camera)
    assert measured is not None
    uv, z = made.session.cameras_as_tensors(camera).project(torch.from_numpy(made.surface.points))
    x, y = np.floor(uv[0].numpy()).astype(int).T
    return np.abs(z[0].numpy() - measured[0][y, x])


def test_a_portrait_goes_through(capture_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """The refined surface is the phone's depth to its own steps of 1.3 mm, and nothing before or behind it; legs were
    never seen. So few Gaussians of so quick a body score worse.
    """
    pytest.importorskip("pillow_heif", reason="HEIC needs pillow-heif: pip install 'simulacra[heic]'")
    source = capture_folder("truedepth_portrait") / "heic_face_data.heic"
    session = import_truedepth(source, tmp_path / "session", TruedepthOptions(shrink=4))
    made = run(session, "portrait", tmp_path)
    assert made.fit is not None and made.fit.summary["scale"]["source"] == "depth"
    assert "legs" in made.fit.summary["never_seen"]
    assert np.quantile(surface_errors(made), 0.98) < 0.005 and np.median(surface_errors(made)) < 0.0014
    metrics = json.loads((tmp_path / "run/evaluate/metrics.json").read_text())
    assert metrics["scores"]["depth_median_mm"]["mean"] < 15.0
    assert metrics["protocol"]["seen_in_training"]
    assert b"element vertex" in (tmp_path / "person.ply").read_bytes()[:2000]


def test_a_depth_camera_goes_through(capture_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A man waist-up: his stature is a guess within what people are, his legs are named, a held-out frame is scored."""
    source = capture_folder("ddrnet_rgbd") / "20170907/group1"
    options = ColorDepthOptions(
        depth_scale=1000.0, depth_is="aligned", pixel_centre="0",
        intrinsics=Intrinsics(fx=536.628, fy=536.606, cx=310.591, cy=234.759),
        folders=Folders(depth="depth_map", mask="mask"),
    )  # fmt: skip
    session = import_color_depth(source, tmp_path / "session", options)
    made = run(session, "depth_camera", tmp_path, views={"frame_step": 10, "held_out_every": 2})
    assert made.fit is not None and made.fit.summary["scale"]["source"] == "depth"
    assert 1.4 < made.fit.summary["stature_m"] < 2.1 and "legs" in made.fit.summary["never_seen"]
    metrics = json.loads((tmp_path / "run/evaluate/metrics.json").read_text())
    assert metrics["scores"]["depth_median_mm"]["mean"] < 15.0
    assert metrics["protocol"]["name"] == "held-out frames"
