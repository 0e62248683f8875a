"""How good a run is, by a protocol that was locked before the training: scores of views that it did not see.

Every number's exact meaning is in docs/metrics.md, and in short in docs/metrics.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval
from jaxtyping import Float

from simulacra.recon.evaluate.clusters import METHOD, WORLD
from simulacra.recon.evaluate.flickering import FlickerOfViews
from simulacra.recon.evaluate.metrics import ASKED_METRICS, METRICS, VIEW_METRICS
from simulacra.recon.evaluate.motion import MotionOf
from simulacra.recon.evaluate.novel import Novelty
from simulacra.recon.evaluate.protocol import Protocol, View, spread
from simulacra.recon.evaluate.regions import (
    RegionsOf,
    describe_regions,
    region_iou,
    region_pixels,
    region_psnr,
)
from simulacra.recon.evaluate.scores import Missing, Score, absent, collect
from simulacra.recon.evaluate.truth import TrueErrors
from simulacra.recon.evaluate.views import (
    DIFFERENCE_FULL_SCALE,
    FINEST,
    CapturedView,
    ComparedView,
    RenderView,
    ViewConfig,
    compare_view,
)
from simulacra.recon.perception.by_name import JUDGED_BY
from simulacra.recon.perception.joints import joint_distances, mpjpe
from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.files import write_text
from simulacra.recon.runs.progress import track
from simulacra.recon.runs.ranges import Share
from simulacra.recon.runs.run_facts import library_versions
from simulacra.render.image import write_image
from simulacra.render.unseen import Unseen

METRICS_SCHEMA = 1
METRICS_FILE = "metrics.json"
# Shown for the fit's own poses too, where photographs corrected them.
POSE_METRICS = ("psnr_fg", "psnr_near", "mask_iou")
VIEWS_FOLDER = "views"

# A camera's views at rising frame numbers.
ReadViews = Callable[[str, Sequence[int]], Iterator[CapturedView]]


@config
class PublishedNumber:
    """Somebody else's number for a metric, shown beside ours."""

    metric: str
    value: Annotated[float, Interval(ge=-1e9, le=1e9)]
    source: str

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"a metric that there is: {', '.join(METRICS)}; not {self.metric}")


@config
class EvaluateConfig:
    """How a run is scored.

    Attributes:
        view: how one view is compared.
        least_confidence: detections of less than this do not count in the reprojection error.
        pictures: at most so many views are written as pictures.
        turntable: pictures of one turn around the result; 0 for none.
        unseen: what the turntable shows of what no training view saw: keep, as it was filled; neutral, gray; drop,
            nothing. Scores are of everything.
        references: published or peers' numbers to print beside ours.
    """

    view: ViewConfig = ViewConfig()
    least_confidence: Share = 0.5
    pictures: Annotated[int, Interval(ge=0, le=10_000)] = 12
    turntable: Annotated[int, Interval(ge=0, le=3600)] = 36
    unseen: Unseen = "keep"
    references: tuple[PublishedNumber, ...] = ()


@dataclass(frozen=True)
class KeypointEvidence:
    """How far the fitted body's projected keypoints are from the detected ones, in pixels of the session's images.

    Attributes:
        cameras: those in which keypoints were detected before the evaluation.
        distances_px: NaN where a keypoint was not detected.
        confidence: of the detections; 0 where triangulation rejected one.
    """

    frames: tuple[int, ...]
    cameras: tuple[str, ...]
    distances_px: Float[np.ndarray, "t c k"]
    confidence: Float[np.ndarray, "t c k"]


@dataclass(frozen=True)
class JointEvidence:
    """The fitted body's joints beside a reference, both in the session's world and at the same frames,
    metres.
    """

    frames: tuple[int, ...]
    names: tuple[str, ...]
    joints: Float[np.ndarray, "t k 3"]
    reference_names: tuple[str, ...]
    reference: Float[np.ndarray, "t r 3"]
    reference_source: str


@dataclass(frozen=True)
class Subject:
    """What is scored, and all that is known to compare it with.

    Attributes:
        render_view: draws the result.
        read_views: what the camera saw in rising frames, one after the other (a video is decoded once).
        truth: of a virtual capture.
        regions: which part of the body a view shows where; None without a body.
        motion: how its surface moves between frames; likewise.
        novelty: how far held-out poses are from trained ones; likewise.
        unrefined: draws the result in the fit's own poses, where photographs corrected them.
        paid: names of the losses that the training paid for.
    """

    render_view: RenderView
    read_views: ReadViews
    keypoints: KeypointEvidence | None = None
    joints: JointEvidence | None = None
    truth: TrueErrors | None = None
    regions: RegionsOf | None = None
    motion: MotionOf | None = None
    novelty: Novelty | None = None
    unrefined: RenderView | None = None
    paid: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """What metrics.json holds.

    Attributes:
        regions: PSNR by region of the body and view, dB, or why there is none.
        overlaps: of the silhouettes in each region, likewise.
        novelty: how far held-out poses are from trained ones; None without a body.
        predictions: SHA-256 of what was rendered, at the compared size and of 8 bits, in the protocol's order.
    """

    protocol: Protocol
    scores: Mapping[str, Score]
    settings: Mapping[str, Any]
    references: Sequence[PublishedNumber] = ()
    regions: Mapping[View, Mapping[str, float | Missing]] = field(default_factory=dict)
    overlaps: Mapping[View, Mapping[str, float | Missing]] = field(default_factory=dict)
    predictions: str | None = None
    novelty: Novelty | None = None

    def as_json(self) -> dict[str, Any]:
        """Without times or paths, so that another evaluation of the same run is the same file."""
        views = [
            {"camera": v.camera, "frame": v.frame, "seen_in_training": self.protocol.seen(v)}
            for v in self.protocol.evaluated
        ]
        return {
            "schema": METRICS_SCHEMA,
            "protocol": self.protocol.as_json(),
            "held_out": {
                "cameras": list(self.protocol.held_out_cameras),
                "frames": list(self.protocol.held_out_frames),
                "views": views,
            },
            "scores": {name: score.as_json() for name, score in self.scores.items()},
            "regions": describe_regions(self.regions, self.overlaps),
            "by_protocol": describe_protocols(self.protocol, self.scores),
            "novelty": None if self.novelty is None else self.novelty.as_json(),
            "hashes": {"split": self.protocol.digest, "predictions": self.predictions},
            "references": [
                {"metric": r.metric, "value": r.value, "source": r.source} for r in self.references
            ],
            "settings": dict(self.settings),
            "versions": library_versions(),
        }


def score_views(
    subject: Subject,
    protocol: Protocol,
    settings: EvaluateConfig,
    folder: Path,
) -> Evaluation:
    """Scores the protocol's views and writes ``metrics.json`` and ``views/*.png`` into the folder.

    A metric that cannot be computed is null there, with the reason; one that cannot be in some views names
    them.

    Raises:
        RunError: a render has values that are not finite.
    """
    outcomes: dict[str, dict[View, float | Missing]] = {name: {} for name in settings.view.metrics}
    mask_sources: dict[str, int] = {}
    regions: dict[View, dict[str, float | Missing]] = {}
    overlaps: dict[View, dict[str, float | Missing]] = {}
    flickering = FlickerOfViews(protocol.frames, subject.motion)
    renders: dict[View, bytes] = {}
    unrefined: dict[str, dict[View, float | Missing]] = {name: {} for name in POSE_METRICS}
    pictured = set(spread(protocol.evaluated, settings.pictures))
    views = _read_in_order(subject.read_views, protocol.evaluated)
    for captured in track(views, "scoring views", len(protocol.evaluated)):
        compared = compare_view(captured, subject.render_view, settings.view)
        for name, outcome in compared.scores.items():
            outcomes[name][captured.view] = outcome
        renders[captured.view] = _digest(compared)
        if subject.unrefined is not None:
            before = compare_view(captured, subject.unrefined, replace(settings.view, perception=())).scores
            for name in POSE_METRICS:
                unrefined[name][captured.view] = before[name]
        if subject.regions is not None and compared.person is not None and compared.covered is not None:
            height, width = compared.person.shape
            shown = subject.regions(captured.view, width, height)
            overlaps[captured.view] = region_iou(compared.covered, compared.person, shown)
            pixels = region_pixels(shown, compared.person)
            regions[captured.view] = region_psnr(compared.render, compared.photo, pixels)
        flickering.add(compared)
        mask_sources[compared.mask_source] = mask_sources.get(compared.mask_source, 0) + 1
        if captured.view in pictured:
            write_view(folder / VIEWS_FOLDER, compared)
    scores = {name: collect(name, outcomes[name]) for name in settings.view.metrics}
    if subject.unrefined is not None:
        for name in POSE_METRICS:
            extra = {"with_poses_of_the_fit": collect(name, unrefined[name]).mean}
            scores[name] = replace(scores[name], extra={**scores[name].extra, **extra})
    scores["flicker"] = flickering.score()
    scores["reprojection_px"] = _reprojection(subject.keypoints, protocol, settings)
    scores["mpjpe_mm"] = _mpjpe(subject.joints)
    if subject.truth is not None:
        scores |= subject.truth.scores()
    trained_by = {metric for loss in subject.paid for metric in JUDGED_BY.get(loss, ())}
    scores |= {name: replace(scores[name], in_loss=True) for name in trained_by & set(scores)}
    described = _describe(settings, mask_sources)
    predictions = sha256(
        b"".join(renders[view] for view in protocol.evaluated if view in renders)
    ).hexdigest()
    evaluation = Evaluation(
        protocol, scores, described, settings.references, regions, overlaps, predictions, subject.novelty
    )
    write_metrics(folder / METRICS_FILE, evaluation)
    return evaluation


def describe_protocols(protocol: Protocol, scores: Mapping[str, Score]) -> dict[str, Any]:
    """Of each protocol by itself, by its name and version: the mean of every metric of views, over its views alone."""
    described: dict[str, Any] = {}
    for kind, judging in protocol.judges.items():
        described[kind] = {}
        for name in (*VIEW_METRICS, *ASKED_METRICS, "flicker"):
            found = scores[name].values if name in scores else {}
            values = {view: found[view] for view in judging if view in found}
            if values:
                entry = Score(name, values).as_json()
                kept = ("mean", "per_camera", "interval_95", "interval_clusters", "interval_reason", "count")
                described[kind][name] = {key: entry[key] for key in kept}
    return described


def write_metrics(path: Path, evaluation: Evaluation) -> None:
    """Writes metrics.json atomically; a number that JSON has no word for is refused rather than written as
    NaN.
    """
    text = json.dumps(evaluation.as_json(), indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_text(path, text)


def write_view(folder: Path, compared: ComparedView) -> None:
    """Writes ``CAMERA_FRAME_{photo,render,difference}.png``."""
    stem = f"{compared.view.camera}_{compared.view.frame:06d}"
    write_image(folder / f"{stem}_photo.png", compared.photo)
    write_image(folder / f"{stem}_render.png", compared.render)
    write_image(folder / f"{stem}_difference.png", compared.difference)


def _digest(compared: ComparedView) -> bytes:
    """Of a render as a display would show it, and of its silhouette."""
    pixels = (compared.render * 255 + 0.5).astype(np.uint8)
    covered = b"" if compared.covered is None else compared.covered.tobytes()
    return sha256(repr(pixels.shape).encode() + pixels.tobytes() + covered).digest()


def _read_in_order(read_views: ReadViews, views: Sequence[View]) -> Iterator[CapturedView]:
    for camera in dict.fromkeys(view.camera for view in views):
        yield from read_views(camera, sorted(view.frame for view in views if view.camera == camera))


def _reprojection(evidence: KeypointEvidence | None, protocol: Protocol, settings: EvaluateConfig) -> Score:
    if evidence is None:
        return absent("reprojection_px", "the run has no detected keypoints")
    detected = np.isfinite(evidence.distances_px)
    counted = detected & (evidence.confidence >= settings.least_confidence)
    distances = np.where(counted, evidence.distances_px, np.nan)
    nobody = Missing("no keypoint was detected with enough confidence")
    outcomes: dict[View, float | Missing] = {}
    for c, camera in enumerate(evidence.cameras):
        for t, frame in enumerate(evidence.frames):
            known = distances[t, c][np.isfinite(distances[t, c])]
            outcomes[View(camera, frame)] = float(known.mean()) if known.size else nobody
    known = distances[np.isfinite(distances)]
    extra = {
        "median": float(np.median(known)) if known.size else None,
        "seen_in_fit": {camera: camera not in protocol.held_out_cameras for camera in evidence.cameras},
        "left_out": float(1 - counted.sum() / detected.sum()) if detected.any() else None,
        "note": "over every view in which keypoints were detected, not only the scored ones",
    }
    return replace(collect("reprojection_px", outcomes), extra=extra)


def _mpjpe(evidence: JointEvidence | None) -> Score:
    if evidence is None:
        return absent("mpjpe_mm", "the session has no reference joints")
    names, distances = joint_distances(
        evidence.joints, evidence.names, evidence.reference, evidence.reference_names
    )
    unknown = Missing(f"no limb joint is known both in the fit and in {evidence.reference_source}")
    outcomes: dict[View, float | Missing] = {}
    for t, frame in enumerate(evidence.frames):
        mean = mpjpe(distances[t : t + 1])
        outcomes[View(WORLD, frame)] = unknown if mean is None else 1000 * mean
    extra = {
        "per_joint": {
            name: None if mean is None else 1000 * mean
            for name, mean in ((name, mpjpe(distances[:, j : j + 1])) for j, name in enumerate(names))
        },
        "reference": evidence.reference_source,
        "note": "in the world, so that there is no number per camera; nothing is aligned or scaled",
    }
    return replace(collect("mpjpe_mm", outcomes, otherwise="no frame was fitted"), extra=extra)


def _describe(settings: EvaluateConfig, mask_sources: Mapping[str, int]) -> dict[str, Any]:
    """Everything besides the images that the numbers depend on."""
    return {
        "longest_side": settings.view.longest_side,
        "resize": "area, of the capture over black, of its mask, and of renders drawn at the capture's size, K scaled",
        "finest_render": f"{FINEST} times the longest side",
        "background": "black, both",
        "color": "8 bit sRGB values in 0..1, no gamma undone; renders clipped to 0..1",
        "alpha_threshold": settings.view.alpha_threshold,
        "crop_margin": settings.view.crop_margin,
        "perception": list(settings.view.perception),
        "ssim": "Gaussian 11x11, sigma 1.5, K1 0.01, K2 0.03, windows wholly inside, mean over RGB",
        "difference_full_scale": DIFFERENCE_FULL_SCALE,
        "least_confidence": settings.least_confidence,
        "mean": "over views, each with the same weight; decibels are averaged, not errors",
        "interval_95": METHOD,
        "mask_sources": dict(mask_sources),
    }
