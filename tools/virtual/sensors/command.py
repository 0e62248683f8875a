"""`simulacra stage-sensors`: virtual depth sensors beside real ones, in numbers and one picture."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.options import RgbdRigOptions
from simulacra.recon.importers.rgbd_rig import import_rgbd_rig
from simulacra.recon.preflight.depths import surface_points
from simulacra.recon.session import Session
from simulacra.render.body import load_body
from simulacra.render.runtime.errors import InputError

from ..light import studio_light
from ..people.person import PersonRecipe, make_person
from ..picture import TruePixels, light_up, picture
from .depth import StructuredLight, TimeOfFlight, sense_depth
from .plot import OTHER, REAL, VIRTUAL, Line, Panel, draw_panels, histogram
from .refined import (
    EDGES,
    SLOPES,
    FusedDepth,
    by_edge,
    by_slope,
    errors,
    fitted,
    frames_of,
    modelled,
    read_reference,
    spread,
)
from .study import Agreement, DepthView, agreement, misplaced, real_views, surface_noise

# The calibration error that virtual rigs are given, by each axis: degrees and metres. It is stated with every result.
TURN_DEG, SHIFT_M = 0.15, 0.002
LEAST_NOISE_PX = 0.005


@dataclass(frozen=True)
class RigResult:
    """A real rig, and a virtual person in it: with true cameras, and with cameras as an erroneous calibration has
    them.
    """

    name: str
    real: Agreement
    true: Agreement
    misplaced: Agreement
    best_noise_m: float


def compare_sensors(captures: Path, out: Path, depth_scale: float, seed: int) -> None:
    """Prints the comparison and draws it.

    Raises:
        InputError: no RGB-D rig and no depth with references in the folder.
    """
    rigs = sorted(p.parent for p in captures.rglob("PARAM") if p.is_dir())
    refined = sorted(p.parent for p in captures.rglob("high_quality_depth") if p.is_dir())
    if not rigs or not refined:
        raise InputError(
            "sensors cannot be compared",
            where=captures,
            expected="folders with COLOR, DEPTH, MASK and PARAM, and with depth_map, high_quality_depth and mask",
            found=f"{len(rigs)} rigs, {len(refined)} references",
        )
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for number, rig in enumerate(rigs):
            session = import_rgbd_rig(
                rig, Path(folder) / str(number), RgbdRigOptions(depth_scale=depth_scale)
            )
            results.append(_rig(rig.name, session, seed + number))
            _say_rig(results[-1])
    panels = [_agreement_panel(results), _pairs_panel(results), *_reference_panels(refined[0], seed)]
    draw_panels(out, panels)
    print(f"{out}")


# -- time of flight --------------------------------------------------------------------------------


def _rig(name: str, session: Session, seed: int) -> RigResult:
    frame = session.frame_indices[0]
    views = real_views(session, frame)
    real = agreement(views)
    truths = _truths(session, views, seed)
    sensor = TimeOfFlight()
    rng = np.random.default_rng(seed)
    virtual = [_sense_again(view, truth, sensor, k) for k, (view, truth) in enumerate(zip(views, truths))]
    wrong = [replace(view, camera=misplaced(view.camera, TURN_DEG, SHIFT_M, rng)) for view in virtual]
    few = list(zip(views, truths))[:3]

    def noise(scale: float) -> float:
        seen = [
            _sense_again(view, truth, replace(sensor, noise_m=scale), k)
            for k, (view, truth) in enumerate(few)
        ]
        return float(np.median([surface_noise(v.depth, v.inside) for v in seen]))

    best = fitted(float(np.median(real.noise)), noise, 1e-4, 1e-2)
    return RigResult(name, real, agreement(virtual), agreement(wrong), best)


def _truths(session: Session, views: Sequence[DepthView], seed: int) -> list[TruePixels]:
    """A virtual person where the real one stands, seen by the rig's cameras without faults."""
    points = np.concatenate([surface_points(v.camera, v.depth, (v.depth > 0) & v.inside) for v in views])
    at = np.median(points, axis=0)
    body = load_body()
    person = make_person(body, PersonRecipe(seed=seed))
    pose = body.zero_pose()
    pose.translation[0, 0] += float(at[0])
    pose.translation[0, 2] += float(at[2])
    scene = light_up(person, person.posed(pose), studio_light(seed))
    return [picture(scene, session.cameras_as_tensors(view.camera.name)) for view in views]


def _sense_again(view: DepthView, truth: TruePixels, sensor: TimeOfFlight, seed: int) -> DepthView:
    camera = view.camera
    depth = sense_depth(truth.depth, truth.normals, truth.infrared, camera.K, camera.viewmat, sensor, seed)
    return DepthView(camera, depth, truth.depth > 0)


def _mm(values: Float[np.ndarray, "n"]) -> str:
    low, middle, high = 1000 * np.nanquantile(values, [0, 0.5, 1])
    return f"{middle:5.2f} ({low:.2f} to {high:.2f})"


def _say_rig(result: RigResult) -> None:
    print(f"{result.name}: time of flight, mm, medians (and range over pairs or cameras)")
    names = ("real", "virtual", f"virtual, cameras {TURN_DEG} deg and {1000 * SHIFT_M:g} mm off by axis")
    for name, found in zip(names, (result.real, result.true, result.misplaced)):
        print(f"  {name}")
        print(f"    agreement of neighbours  {_mm(found.medians)}")
        print(f"    surface to surface       {_mm(found.before)}, {_mm(found.left)} when aligned")
        print(f"    move that aligns         {_mm(found.shifts)}, {np.median(found.turns):.2f} deg")
        print(f"    noise within a surface   {_mm(found.noise)}")
    print(
        f"  noise_m that makes the noise within a surface the real one: {1000 * result.best_noise_m:.2f} mm"
    )


def _agreement_panel(results: Sequence[RigResult]) -> Panel:
    def all_of(kind: str) -> Float[np.ndarray, "n"]:
        return 1000 * np.concatenate([getattr(result, kind).differences for result in results])

    return Panel(
        "Time of flight: one camera's points against its neighbours'",
        "difference of depth, mm",
        "share per mm",
        [
            histogram("real", all_of("real"), 30, 1, REAL, filled=True),
            histogram("virtual", all_of("true"), 30, 1, OTHER, filled=False),
            histogram("virtual, calibration off", all_of("misplaced"), 30, 1, VIRTUAL, filled=False),
        ],
        [f"{TURN_DEG} deg, {1000 * SHIFT_M:g} mm by axis"],
    )


def _pairs_panel(results: Sequence[RigResult]) -> Panel:
    lines = []
    kinds = (
        ("real", REAL, "real"),
        ("virtual", OTHER, "true"),
        ("virtual, calibration off", VIRTUAL, "misplaced"),
    )
    for name, color, kind in kinds:
        medians = 1000 * np.sort(np.concatenate([getattr(result, kind).medians for result in results]))
        share = (np.arange(len(medians)) + 0.5) / len(medians)
        x, y = np.concatenate([[0], medians, [12]]), np.concatenate([[0], share, [1]])
        lines.append(Line(name, x, y, color))
    return Panel(
        "Median difference of a pair of cameras", "mm", "share of pairs below", lines, names_low=True
    )


# -- structured light ------------------------------------------------------------------------------


def _reference_panels(folder: Path, seed: int) -> list[Panel]:
    frames = frames_of(folder)
    if len(frames) < 2:
        raise InputError(
            "one frame sets the noise, others are compared", where=folder, found=f"{len(frames)} frames"
        )
    first = read_reference(folder, frames[0])
    target = spread(errors(first, first.raw))

    def noise(scale: float) -> float:
        return spread(errors(first, modelled(first, StructuredLight(noise_px=scale), seed)))

    scale = fitted(target, noise, LEAST_NOISE_PX, 0.3)
    sensor = StructuredLight(noise_px=scale)
    bound = ", the least that was tried: steps alone make the error" if scale < 1.05 * LEAST_NOISE_PX else ""
    print(f"{folder.name}: structured light, noise_px {scale:.3f} set on {frames[0]}{bound}")
    others = [read_reference(folder, frame) for frame in frames[1:]]
    return _say_references(others, sensor, seed)


def _say_references(references: Sequence[FusedDepth], sensor: StructuredLight, seed: int) -> list[Panel]:
    """Real raw depth, the model with its noise set on another frame, and the model with a Kinect's noise."""
    names = ("real", "model", "Kinect's")
    found: list[list[np.ndarray]] = [[], [], []]
    slopes: list[list[np.ndarray]] = [[], [], []]
    edges: list[list[np.ndarray]] = [[], [], []]
    holes: list[list[float]] = [[], [], []]
    # The same chance for both models: they differ by their noise alone.
    for number, reference in enumerate(references):
        kinect = modelled(reference, StructuredLight(), seed + 1 + number)
        for k, depth in enumerate((reference.raw, modelled(reference, sensor, seed + 1 + number), kinect)):
            found[k].append(errors(reference, depth))
            slopes[k].append(by_slope(reference, depth))
            edges[k].append(by_edge(reference, depth))
            holes[k].append(100 * float(1 - (depth[reference.inside] > 0).mean()))
    values = [1000 * np.concatenate(part) for part in found]
    rows = {
        "median": [float(np.median(v)) for v in values],
        "median of absolute": [float(np.median(np.abs(v - np.median(v)))) for v in values],
        "mean of absolute, cut at 20": [1000 * spread(v / 1000) for v in values],
        "5 % are below": [float(np.quantile(v, 0.05)) for v in values],
        "5 % are above": [float(np.quantile(v, 0.95)) for v in values],
        "holes, % of the person": [float(np.mean(v)) for v in holes],
    }
    print(f"  {f'{len(references)} other frames, mm':30s}" + "".join(f"{name:>10s}" for name in names))
    for row, triple in rows.items():
        print(f"    {row:28s}" + "".join(f"{value:10.2f}" for value in triple))
    for what, limits, unit, curves in (
        ("slope", 1000 * np.array(SLOPES), "mm a pixel", slopes),
        ("distance to the edge", np.array(EDGES), "px", edges),
    ):
        print(f"    mean of absolute by {what} ({', '.join(f'{v:g}' for v in limits)} {unit})")
        for name, curve in zip(names, curves):
            print(f"      {name:10s}" + "".join(f"{v:8.2f}" for v in 1000 * np.nanmean(curve, axis=0)))
    return _plot_references(values, [1000 * np.nanmean(curve, axis=0) for curve in slopes], len(references))


def _plot_references(
    values: Sequence[Float[np.ndarray, "_"]], slopes: Sequence[Float[np.ndarray, "n"]], frames: int
) -> list[Panel]:
    names = ("real", "model, noise set on one frame", "model, a Kinect's noise")
    colors = (REAL, VIRTUAL, OTHER)
    middle = np.arange(len(SLOPES) - 1) + 0.5
    histograms = [
        histogram(name, errors_mm, 20, 1, color, color == REAL)
        for name, errors_mm, color in zip(names, values, colors)
    ]
    return [
        Panel(
            "Structured light: raw depth less its reference",
            "mm",
            "share per mm",
            histograms,
            [f"{frames} frames"],
        ),
        Panel(
            "The same by the surface's slope",
            "mm a pixel",
            "mean absolute error, mm",
            [Line(name, middle, curve, color) for name, curve, color in zip(names, slopes, colors)],
            ticks=[(float(k), f"{1000 * limit:g}") for k, limit in enumerate(SLOPES[:-1])],
        ),
    ]
