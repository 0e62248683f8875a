"""A tiny run with every record that a run has, and every reader of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simulacra.recon.avatar.record import TrainedResult, load_trained, save_trained, trained_on
from simulacra.recon.avatar.training import Training, restore_checkpoint, save_checkpoint
from simulacra.recon.avatar.views import ViewStore
from simulacra.recon.fit import BodyFit, load_fit, save_fit
from simulacra.recon.observe import Observations, load_observations
from simulacra.recon.observe.checkpoint import Checkpoint, FrameResult, empty_arrays
from simulacra.recon.observe.observations import save_observations
from simulacra.recon.observe.roi import Roi
from simulacra.recon.observe.soft_mask import SoftMask, load_soft_mask, save_soft_mask
from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.preflight import Check, Preflight, load_preflight, save_preflight
from simulacra.recon.refine import Surface, load_surface, save_surface
from simulacra.recon.runs.configuration import dump_config, format_config
from simulacra.recon.runs.files import read_json, write_arrays, write_json
from simulacra.recon.runs.run_folder import STAGE_FILE
from simulacra.recon.runs.stages import digest_folder, stage_key
from simulacra.render.avatar import Avatar, Binding
from simulacra.render.body import BodyPose, BodyShape, load_body
from simulacra.render.gaussians import Gaussians
from simulacra.tools.report.content import read_run

T, C, N = 2, 1, 4
ZEROS = np.zeros((T, C), np.float32)
WORK = "work"
# Every reader of a record, and the file with its arrays, in the run and in what unfinished work keeps.
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "fit": ("fit/fit.npz", lambda run: load_fit(run / "fit")),
    "surface": ("refine/surface.npz", lambda run: load_surface(run / "refine")),
    "trained": ("avatar/gaussians.npz", lambda run: load_trained(run / "avatar")),
    "observations": ("observe/observations.npz", lambda run: load_observations(run / "observe")),
    "report": ("avatar/losses.npz", read_run),
    "chunks": (
        f"{WORK}/.checkpoint/a/000000.npz",
        lambda run: list(Checkpoint(run / WORK, "key").iter_chunks("a")),
    ),
    "soft mask": (f"{WORK}/soft.npz", lambda run: load_soft_mask(run / WORK / "soft.npz")),
    "training": (f"{WORK}/checkpoint.npz", lambda run: restore_checkpoint(run / WORK, torch.device("cpu"))),
    "view": (f"{WORK}/a_000000.npz", lambda run: ViewStore(run / WORK, ((0, "a"),), ()).load(0)),
}
# Readers of records that hold no arrays.
JSON_READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "preflight": ("preflight/preflight.json", lambda run: load_preflight(run / "preflight")),
    "account": ("avatar/training.json", lambda run: trained_on(run / "avatar")),
}


def write_records(run: Path) -> None:
    """The run, each of its stages sealed, and beside them what unfinished work keeps."""
    _write_seen(run)
    body = load_body()
    shape = BodyShape(torch.zeros(len(body.phenotype_names)), torch.zeros(len(body.local_change_names)))
    bones, expressions = len(body.bone_names), len(body.expression_names)
    pose = BodyPose(torch.zeros(T, bones, 3), torch.zeros(T, 3), torch.zeros(T, expressions))
    scores = np.zeros((T, C, 33))
    fit = BodyFit(
        shape, pose, np.arange(T), ("a",), np.zeros(C), np.zeros((33, 3)), scores, scores, {"median_px": 1.0},
        np.zeros((C, 4, 4)),
    )  # fmt: skip
    save_fit(fit, run / "fit")
    points, there = np.zeros((N, 3), np.float32), np.ones(N, bool)
    save_surface(
        run / "refine", Surface(0, np.full(N, 0.006, np.float32), points, points, points, there, there)
    )
    gaussians = Gaussians(
        torch.zeros(N, 3), torch.ones(N, 4), torch.zeros(N, 3), torch.zeros(N), torch.zeros(N, 1, 3)
    )
    binding = Binding(torch.zeros(N, dtype=torch.int64), torch.full((N, 3), 1 / 3))
    save_trained(run / "avatar", TrainedResult(avatar=Avatar(shape, binding, gaussians)))
    write_json(run / "avatar/training.json", {"device": "cpu", "backend": "numba"})
    write_arrays(run / "avatar/losses.npz", step=np.arange(5), total=np.ones(5), l1=np.ones(5))
    view = {"camera": "a", "frame": 0, "seen_in_training": False}
    score = {"mean": 20.0, "per_camera": {"a": 20.0}, "views": [{"camera": "a", "frame": 0, "value": 20.0}]}
    score |= {
        "std": None,
        "interval_95": None,
        "count": 1,
        "unit": "dB",
        "better": "higher",
        "reason": None,
        "missing": [],
    }
    protocol = {"statement": "On one view.", "locked": True, "seen_in_training": False}
    metrics = {"protocol": protocol, "held_out": {"cameras": ["a"], "views": [view]}, "settings": {}}
    write_json(run / "evaluate/metrics.json", metrics | {"scores": {"psnr_crop": score}, "references": []})
    for name in ("preflight", "observe", "fit", "refine", "avatar", "evaluate"):
        write_json(run / name / STAGE_FILE, {"version": 1, "config": {}, "inputs": {"session": "s"}})
    config = ReconstructionConfig()
    (run / "config.yaml").write_text(format_config(config))
    stage = {"seconds": 1.0, "peak_mb": 100.0, "skipped": False}
    described = {"schema": 1, "session_fingerprint": "s", "session": str(run / "session"), "fused_frame": 0}
    described |= {"stages": {"fit": stage, "avatar": stage}, "versions": {"simulacra": "1"}, "commit": None}
    write_json(run / "run.json", described | {"config": dump_config(config), "machine": {"processors": 2}})
    seal(run)
    _write_work(run / WORK)


def seal(run: Path) -> None:
    """Makes keys and digests say what lies there, as whoever means harm would."""
    for path in run.glob(f"*/{STAGE_FILE}"):
        said = read_json(path)
        key = stage_key(path.parent.name, said["version"], said["config"], said["inputs"])
        costs = {"seconds": 1.0, "peak_mb": 100.0}
        write_json(path, said | costs | {"key": key, "digest": digest_folder(path.parent)})


def _write_seen(run: Path) -> None:
    check = Check("storage", "a", 0.0, "errors", "0", "pass", "import again")
    save_preflight(run / "preflight", Preflight((check,), ("a note",)))
    pose, hands = np.zeros((T, C, 33), np.float32), np.zeros((T, C, 2), np.float32)
    seen = Observations(
        np.arange(T), ("a",), np.zeros((T, C, 33, 2), np.float32), pose, pose, ZEROS,
        np.zeros((T, C, 478, 2), np.float32), ZEROS, np.zeros((T, C, 2, 21, 2), np.float32), hands,
        {"a": ("session",) * T},
    )  # fmt: skip
    save_observations(seen, run / "observe")


def _write_work(work: Path) -> None:
    Checkpoint(work, "key").save("a", [FrameResult(0, empty_arrays(), "none")])
    save_soft_mask(
        SoftMask(np.zeros((8, 8), np.float32), Roi((4.0, 4.0), (8.0, 8.0), 0.0, False)), work / "soft.npz"
    )
    some = {"x": torch.ones(3)}
    save_checkpoint(work, Training(3, some, some, some, some, some))
    picture = np.zeros((6, 8), np.uint8)
    K, viewmat = np.eye(3, dtype=np.float32), np.eye(4, dtype=np.float32)
    write_arrays(work / "a_000000.npz", rgb=np.stack([picture] * 3, -1), mask=picture, K=K, viewmat=viewmat)
