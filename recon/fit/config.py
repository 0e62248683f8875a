"""How a body is fitted."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from annotated_types import Interval

from simulacra.recon.bodies.names import BodyName
from simulacra.recon.multiview.clocks import SynchroniseConfig
from simulacra.recon.multiview.sides import SwapConfig
from simulacra.recon.multiview.triangulate import TriangulationConfig
from simulacra.recon.multiview.turns import AdjustConfig
from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.ranges import Weight

# Metres: no sensor is surer than a tenth of a millimetre, and ten metres is to leave it out.
StandardDeviation = Annotated[float, Interval(ge=1e-4, le=10)]
# Of an infant and of the tallest people.
Stature = Annotated[float, Interval(ge=0.4, le=2.6)]


@config
class WeightConfig:
    """Standard deviations of what is observed about the body and what is known before.

    Attributes:
        keypoint_m: of a confident landmark across the viewing direction (the clearest ones; others are scaled).
        hand_m: of a hand's landmarks.
        face_m: of a face's landmarks.
        keypoint_scale_m: where a landmark's cost begins to level off.
        lifted_m: of a landmark's distance from one single camera, as the network guesses it.
        stature_m: of a stature that was given, or is assumed where one camera has no depth.
        bias_m: of a detector's constant offset from its place on the body, learned for each landmark.
        outside_m: of skin outside the mask.
        contour_m: of the body's outline inside the mask's outline: clothes and hair stand off.
        depth_inside_m: of the body's surface in front of the measured one.
        depth_outside_m: of one behind it, where sleeves, shoes or hair are.
        torso_outside_m: of one behind it at the torso.
        leg_outside_m: of one behind it at thighs and shins: skirts, wide trousers.
        skin_outside_m: of one behind it, where bare.
        below_floor_m: of soles under the floor, where depth shows it.
        acceleration: of bones, metres a square second.
        turning: of joints, radians a square second.
        pose: weight of the prior of joints.
        shape: of shapes.
        expression: of facial actions.
    """

    keypoint_m: StandardDeviation = 0.015
    hand_m: StandardDeviation = 0.008
    face_m: StandardDeviation = 0.005
    keypoint_scale_m: StandardDeviation = 0.06
    lifted_m: StandardDeviation = 0.08
    stature_m: StandardDeviation = 0.005
    bias_m: StandardDeviation = 0.015
    outside_m: StandardDeviation = 0.012
    contour_m: StandardDeviation = 0.025
    depth_inside_m: StandardDeviation = 0.005
    depth_outside_m: StandardDeviation = 0.03
    torso_outside_m: StandardDeviation = 0.05
    leg_outside_m: StandardDeviation = 0.1
    skin_outside_m: StandardDeviation = 0.006
    below_floor_m: StandardDeviation = 0.003
    acceleration: Annotated[float, Interval(ge=0.01, le=1e4)] = 8.0
    turning: Annotated[float, Interval(ge=0.01, le=1e4)] = 40.0
    pose: Weight = 1.0
    shape: Weight = 1.0
    expression: Weight = 1.0


@config
class FitConfig:
    """How a parametric person is fitted to what was observed.

    Attributes:
        body: that is fitted and carries the avatar: the default one, or the user's own copy of SMPL-X.
        stature_m: of the person, barefoot, where it is known; one camera without depth takes its scale from it.
        masks: use the person's masks.
        depth: use depth images where the session has them.
        hands: use these landmarks where they were seen.
        face: use these too.
        window: frames fitted at once; longer captures go window by window with the shape of the first.
        iterations: of the optimiser in each of its rounds.
        rounds: how often surface correspondences are renewed while the keyframes are solved.
        refine_rounds: and while all frames are.
        keyframe_seconds: between the frames that are solved first.
        depth_points: of each frame, drawn evenly from all cameras.
        mask_side: side of the distance images that masks become, pixels.
    """

    triangulation: TriangulationConfig = field(default_factory=TriangulationConfig)
    swaps: SwapConfig = field(default_factory=SwapConfig)
    synchronise: SynchroniseConfig = field(default_factory=SynchroniseConfig)
    adjust: AdjustConfig = field(default_factory=AdjustConfig)
    weights: WeightConfig = field(default_factory=WeightConfig)
    body: BodyName = "anny"
    stature_m: Stature | None = None
    masks: bool = True
    depth: bool = True
    hands: bool = True
    face: bool = True
    window: Annotated[int, Interval(ge=5, le=100_000)] = 120  # pieces share four frames
    iterations: Annotated[int, Interval(ge=1, le=1000)] = 40
    rounds: Annotated[int, Interval(ge=0, le=100)] = 5
    refine_rounds: Annotated[int, Interval(ge=0, le=100)] = 1
    keyframe_seconds: Annotated[float, Interval(ge=0, le=3600)] = 0.1
    depth_points: Annotated[int, Interval(ge=1, le=1_000_000)] = 6000
    mask_side: Annotated[int, Interval(ge=32, le=2048)] = 256
