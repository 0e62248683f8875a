"""metrics.json: complete, repeatable, and honest about what could not be measured."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.recon.evaluate import views
from simulacra.recon.evaluate.metrics import ASKED_METRICS, METRICS, TRUE_METRICS, label_of
from simulacra.recon.evaluate.protocol import View, lock_protocol
from simulacra.recon.evaluate.scoring import (
    EvaluateConfig,
    JointEvidence,
    KeypointEvidence,
    PublishedNumber,
    Subject,
    score_views,
)
from simulacra.recon.evaluate.views import CapturedView, ViewConfig, _reason
from simulacra.recon.perception.joints import LIMB_JOINTS
from simulacra.recon.perception.measure import Measure

SIZE = 48


class Stripes:
    """A striped box before nothing, a little different in every camera and frame."""

    def image(self, frame_index: int, camera: str) -> np.ndarray:
        columns = np.sin(np.arange(SIZE) * (0.3 + 0.1 * int(camera)) + frame_index)
        return np.broadcast_to((0.5 + 0.4 * columns)[None, :, None], (SIZE, SIZE, 3)).astype(np.float32)

    def read(self, camera: str, frames: Sequence[int]) -> Iterator[CapturedView]:
        assert list(frames) == sorted(frames)
        for frame in frames:
            mask, source = self.mask(frame, camera)
            yield CapturedView(View(camera, frame), self.image(frame, camera), mask, source, None)

    def mask(self, frame_index: int, camera: str) -> tuple[np.ndarray, str]:
        mask = np.zeros((SIZE, SIZE), np.float32)
        mask[8:40, 12:36] = 1.0
        return mask, "session" if camera == "3" else "pose"

    def render(self, frame: int, camera: str, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
        alpha = torch.from_numpy(self.mask(frame, camera)[0])
        noise = torch.randn(SIZE, SIZE, 3, generator=torch.Generator().manual_seed(frame))
        rgb = torch.from_numpy(self.image(frame, camera)) + 0.02 * noise
        return rgb * alpha[..., None], alpha, 2.0 * alpha


def subject(keypoints: KeypointEvidence | None = None, joints: JointEvidence | None = None) -> Subject:
    stripes = Stripes()
    return Subject(stripes.render, stripes.read, keypoints, joints)


SETTINGS = EvaluateConfig(
    view=ViewConfig(longest_side=SIZE),
    pictures=2,
    references=(PublishedNumber(metric="psnr_fg", value=21.9, source="a peer"),),
)
PROTOCOL = lock_protocol(("0", "1", "2", "3"), range(6), held_out_cameras=("1", "3"))


def test_metrics_file_has_every_metric_and_the_protocol(tmp_path: Path) -> None:
    score_views(subject(), PROTOCOL, SETTINGS, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["scores"]) == set(METRICS) - set(TRUE_METRICS) - set(ASKED_METRICS)
    for name, score in metrics["scores"].items():
        assert (score["mean"] is None) == (score["reason"] is not None), name
        assert score["version"] == METRICS[name].version
        assert (score["unit"], score["better"]) == (METRICS[name].unit, METRICS[name].better)
    psnr = metrics["scores"]["psnr_fg"]
    # Noise of 0.02: -20 log10(0.02) = 33.98 dB, less what clipping to 0..1 takes away.
    assert psnr["mean"] == pytest.approx(33.98, abs=0.3)
    assert set(psnr["per_camera"]) == {"1", "3"}
    assert psnr["mean"] == pytest.approx(np.mean([v["value"] for v in psnr["views"]]))
    assert psnr["interval_95"][0] < psnr["mean"] < psnr["interval_95"][1]
    assert metrics["scores"]["depth_median_mm"]["reason"] == "the capture has no depth for this view"
    assert metrics["scores"]["mpjpe_mm"]["reason"] == "the session has no reference joints"
    assert metrics["held_out"]["cameras"] == ["1", "3"]
    assert len(metrics["held_out"]["views"]) == 12
    assert metrics["protocol"]["seen_in_training"] is False
    assert metrics["references"][0]["value"] == 21.9
    assert metrics["settings"]["mask_sources"] == {"pose": 6, "session": 6}
    assert metrics["versions"]["torch"].startswith(torch.__version__.split("+")[0])


def test_the_same_run_gives_the_same_file(tmp_path: Path) -> None:
    score_views(subject(), PROTOCOL, SETTINGS, tmp_path / "first")
    score_views(subject(), PROTOCOL, SETTINGS, tmp_path / "second")
    first, second = ((tmp_path / name / "metrics.json").read_bytes() for name in ("first", "second"))
    assert first == second


def test_hashes_tell_another_split_and_another_render(tmp_path: Path) -> None:
    made = score_views(subject(), PROTOCOL, SETTINGS, tmp_path / "a").as_json()["hashes"]
    fewer = replace(PROTOCOL, evaluated=PROTOCOL.evaluated[:-1])
    other = score_views(subject(), fewer, SETTINGS, tmp_path / "b").as_json()["hashes"]
    assert made["split"] != other["split"] and made["predictions"] != other["predictions"]

    def brighter(frame: int, camera: str, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
        rgb, alpha, depth = Stripes().render(frame, camera, width, height)
        return rgb + (0.01 if (frame, camera) == (PROTOCOL.evaluated[0].frame, "1") else 0.0), alpha, depth

    changed = score_views(
        replace(subject(), render_view=brighter), PROTOCOL, SETTINGS, tmp_path / "c"
    ).as_json()["hashes"]
    assert changed["split"] == made["split"] and changed["predictions"] != made["predictions"]


def test_only_so_many_views_are_drawn_and_all_are_scored(tmp_path: Path) -> None:
    evaluation = score_views(subject(), PROTOCOL, SETTINGS, tmp_path)
    assert len(evaluation.scores["mask_iou"].values) == 12
    assert sorted(p.name for p in (tmp_path / "views").iterdir()) == [
        f"{stem}_{kind}.png"
        for stem in ("1_000000", "3_000005")
        for kind in ("difference", "photo", "render")
    ]


def test_planted_joint_error_comes_out(tmp_path: Path) -> None:
    reference = np.random.default_rng(0).normal(size=(6, 12, 3))
    joints = reference + np.array([0.0, 0.03, 0.04])
    reference[5] = np.nan
    evidence = JointEvidence(tuple(range(6)), LIMB_JOINTS, joints, LIMB_JOINTS, reference, "a peer's markers")
    score = score_views(subject(joints=evidence), PROTOCOL, SETTINGS, tmp_path).scores["mpjpe_mm"].as_json()
    assert score["mean"] == pytest.approx(50.0)
    assert score["per_camera"] == {}
    assert score["per_joint"]["left_knee"] == pytest.approx(50.0)
    assert [missing["frame"] for missing in score["missing"]] == [5]


def test_planted_reprojection_error_comes_out_per_camera(tmp_path: Path) -> None:
    distances = np.full((6, 2, 4), 5.0)
    distances[:, 1] = 10.0
    distances[:, 1, 3] = 500.0
    distances[0, 0, 0] = np.nan
    confidence = np.ones((6, 2, 4))
    confidence[:, 1, 3] = 0.1
    confidence[2] = 0.0
    evidence = KeypointEvidence(tuple(range(6)), ("0", "2"), distances, confidence)
    score = (
        score_views(subject(keypoints=evidence), PROTOCOL, SETTINGS, tmp_path)
        .scores["reprojection_px"]
        .as_json()
    )
    assert score["per_camera"] == {"0": pytest.approx(5.0), "2": pytest.approx(10.0)}
    assert score["seen_in_fit"] == {"0": True, "2": True}
    assert {missing["frame"] for missing in score["missing"]} == {2}
    # Of 47 detections, the 8 of frame 2 and 5 doubtful ones in the other frames do not count.
    assert score["left_out"] == pytest.approx(13 / 47)


def test_perceptual_metrics_without_their_files_have_a_reason(tmp_path: Path, empty_cache: Path) -> None:
    _reason.cache_clear()
    asked = replace(SETTINGS, view=replace(SETTINGS.view, perception=("lpips_alex", "dists")))
    score_views(subject(), PROTOCOL, asked, tmp_path)
    _reason.cache_clear()
    scores = json.loads((tmp_path / "metrics.json").read_text())["scores"]
    for name in ("lpips_alex", "dists"):
        assert scores[name]["mean"] is None
        assert "simulacra assets" in scores[name]["reason"]
    assert "lpips_vgg" not in scores


def test_perceptual_metrics_are_of_the_box_around_the_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A measure that tells the size of what it is shown."""

    class Sized(Measure):
        def features(self, image: Tensor) -> tuple[Tensor, ...]:
            return (image,)

        def between(self, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> Tensor:
            return ours[0].new_tensor(1000.0 * ours[0].shape[0] + ours[0].shape[1])

    monkeypatch.setattr(views, "_measure", lambda name: Sized())
    score_views(subject(), PROTOCOL, SETTINGS, tmp_path)
    scores = json.loads((tmp_path / "metrics.json").read_text())["scores"]
    # 32 rows and 24 columns, widened by a tenth of 32 on all sides.
    assert scores["lpips_alex"]["mean"] == 1000 * 38 + 30


def test_what_the_training_paid_for_is_marked(tmp_path: Path) -> None:
    paid = replace(subject(), paid=("ssim", "lpips_alex"))
    score_views(paid, PROTOCOL, SETTINGS, tmp_path)
    scores = json.loads((tmp_path / "metrics.json").read_text())["scores"]
    assert {name for name, score in scores.items() if score["in_loss"]} == {"ssim_crop", "lpips_alex"}
    assert label_of("ssim_crop", scores["ssim_crop"]) == "SSIM, crop (in the loss)"
    assert label_of("psnr_fg", scores["psnr_fg"]) == "PSNR, person"
