"""Hand landmarks: MediaPipe's palm detector and full hand landmark network.

Source: MediaPipe 0.10.21, `modules/palm_detection` and `modules/hand_landmark`. Beyond MediaPipe: palms are
looked for about the wrists of the pose first, so that small hands are found and each is known to be the
person's left or right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.detection import Detection, Detector, detect
from simulacra.recon.observe.network import Network
from simulacra.recon.observe.pose import PoseDetection
from simulacra.recon.observe.roi import Roi, crop, points_to_image

_SIDE = 224
_DETECTOR_STRIDES = (8, 16, 16, 16)
# Pose landmarks of the person's left and right: elbow, wrist, pinky, index.
_ARMS = ((13, 15, 17, 19), (14, 16, 18, 20))


@dataclass(frozen=True)
class HandDetection:
    """One hand in one image.

    Attributes:
        px: ``21 2`` image pixels, in the order of `HAND21`.
        score: 0..1, that the region holds a hand.
        right: 0..1, that it is the person's right hand, by its look alone.
        roi: the region that the landmark network saw.
    """

    px: Float[np.ndarray, "21 2"]
    score: float
    right: float
    roi: Roi


@dataclass(frozen=True)
class Hands:
    """The person's own left and right hand, None where not seen."""

    left: HandDetection | None
    right: HandDetection | None


class HandNetwork:
    """Finds hands and their landmarks. Holds interpreters: one object per thread."""

    def __init__(self, threads: int = 1) -> None:
        """Loads `palm_detection_full` and `hand_landmark_full`.

        Raises:
            AssetError, MissingExtraError: see `Network`.
        """
        self._detector = Detector(
            Network.load("palm_detection_full", threads),
            _DETECTOR_STRIDES,
            boxes="Identity",
            scores="Identity_1",
            low=0.0,
        )
        self._landmarks = Network.load("hand_landmark_full", threads)

    def predict(
        self, image: Float[np.ndarray, "h w 3"], roi: Roi, *, min_score: float = 0.5
    ) -> HandDetection | None:
        """The landmarks of the hand in a region, or None where the network sees none there."""
        seen = roi.sampled_as_mediapipe(_SIDE, _SIDE)
        outputs = self._landmarks.predict(crop(image, seen, _SIDE, _SIDE, replicate=True))
        score = float(outputs["Identity_1"][0])
        if score < min_score:
            return None
        px = points_to_image(outputs["Identity"].reshape(21, 3)[:, :2], seen, _SIDE, _SIDE)
        # MediaPipe labels a high value "Left", taking images for selfies in a mirror; ours are not.
        return HandDetection(px, score, float(outputs["Identity_2"][0]), roi)

    def __call__(
        self, image: Float[np.ndarray, "h w 3"], pose: PoseDetection | None = None, *, refine: bool = True
    ) -> Hands:
        """The hands of the person of `pose`; without one, the surest left and right hand of the whole image.

        Args:
            image: RGB in 0..1.
            pose: where the person is.
            refine: look a second time, at the region that the first landmarks say, as MediaPipe's tracking
                does.
        """
        if pose is None:
            found = [self._predict_palm(image, palm, refine) for palm in detect(self._detector, image)]
            hands = sorted((hand for hand in found if hand is not None), key=lambda hand: -hand.score)
            left = next((hand for hand in hands if hand.right < 0.5), None)
            right = next((hand for hand in hands if hand.right >= 0.5), None)
            return Hands(left, right)
        left, right = (self._near_wrist(image, pose, side, refine) for side in (0, 1))
        return _separate_hands(left, right, pose)

    def _near_wrist(
        self, image: Float[np.ndarray, "h w 3"], pose: PoseDetection, side: int, refine: bool
    ) -> HandDetection | None:
        roi = region_of_hand(pose, side)
        wrist = pose.px[_ARMS[side][1]]
        palms = [
            palm
            for palm in detect(self._detector, image, [roi])
            if np.hypot(*(palm.keypoints[0] - wrist)) < 0.35 * roi.size[0]
        ]
        return self._predict_palm(image, palms[0], refine) if palms else None

    def _predict_palm(
        self, image: Float[np.ndarray, "h w 3"], palm: Detection, refine: bool
    ) -> HandDetection | None:
        hand = self.predict(image, region_of_palm(palm))
        if hand is None or not refine:
            return hand
        return self.predict(image, region_of_landmarks(hand.px)) or hand


def region_of_hand(pose: PoseDetection, side: int) -> Roi:
    """An upright square about one hand of a pose, with room for a wrist that is off by half a forearm."""
    elbow, wrist, pinky, index = (pose.px[i] for i in _ARMS[side])
    knuckles = (pinky + index) / 2
    forearm = float(np.hypot(*(wrist - elbow)))
    shoulders = float(np.hypot(*(pose.px[11] - pose.px[12])))
    torso = float(np.hypot(*((pose.px[11] + pose.px[12] - pose.px[23] - pose.px[24]) / 2)))
    # Foreshortened forearms are short in the image: the trunk bounds the size from below.
    side_px = max(1.6 * forearm, 0.9 * shoulders, 0.6 * torso, 48.0)
    return Roi.square(wrist + 0.8 * (knuckles - wrist), side_px)


def region_of_palm(palm: Detection) -> Roi:
    """The square about a hand: fingers up, 2.6 times the palm's box, moved half a box towards the fingers."""
    dx, dy = palm.keypoints[2] - palm.keypoints[0]
    return _upright(palm.center, float(max(palm.size)), float(dx), float(dy), scale=2.6, shift=-0.5)


def region_of_landmarks(px: Float[np.ndarray, "21 2"]) -> Roi:
    """The square about a hand whose landmarks are known.

    Source: `hand_landmarks_to_rect_calculator.cc`: direction from the wrist to the knuckles, box of palm
    and first finger joints along it, twice its longer side, moved 0.1 towards the fingers.
    """
    stable = px[[0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]]
    middle = ((px[6] + px[14]) / 2 + px[10]) / 2
    dx, dy = middle - px[0]
    rotation = np.pi / 2 - np.arctan2(-dy, dx)
    cos, sin = np.cos(rotation), np.sin(rotation)
    turn = np.array([[cos, -sin], [sin, cos]])
    level = stable @ turn
    low, high = level.min(axis=0), level.max(axis=0)
    return _upright(
        turn @ ((low + high) / 2), float(max(high - low)), float(dx), float(dy), scale=2.0, shift=-0.1
    )


def _upright(center: np.ndarray, side: float, dx: float, dy: float, *, scale: float, shift: float) -> Roi:
    rotation = np.pi / 2 - np.arctan2(-dy, dx)
    moved = center + shift * side * np.array([-np.sin(rotation), np.cos(rotation)])
    return Roi.square(moved, side * scale, rotation)


def _separate_hands(left: HandDetection | None, right: HandDetection | None, pose: PoseDetection) -> Hands:
    """One hand found about both wrists goes to the wrist that it is nearer to; its look breaks near ties."""
    if left is None or right is None:
        return Hands(left, right)
    size = float(np.max(np.ptp(left.px, axis=0)))
    if float(np.median(np.hypot(*(left.px - right.px).T))) > 0.25 * size:
        return Hands(left, right)
    to_left = float(np.hypot(*(left.px[0] - pose.px[15]))) + size * left.right
    to_right = float(np.hypot(*(left.px[0] - pose.px[16]))) + size * (1.0 - left.right)
    return Hands(left, None) if to_left <= to_right else Hands(None, right)
