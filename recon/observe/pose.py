"""Body landmarks and the person's own segmentation: MediaPipe's pose detector and full landmark network.

Source: MediaPipe 0.10.21, `modules/pose_detection` and `modules/pose_landmark` (static image mode):
detector on the letterboxed image, region from its keypoints 0 (mid hip) and 1 (reach of the whole body),
upright, times 1.25; landmark network on the region; landmarks refined by their heatmaps. Beyond MediaPipe:
small persons are looked for in tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.detection import Detector, detect
from simulacra.recon.observe.network import Network, sigmoid
from simulacra.recon.observe.roi import Roi, crop, points_to_image
from simulacra.recon.observe.soft_mask import SoftMask

_SIDE = 256
_DETECTOR_STRIDES = (8, 16, 32, 32, 32)
_ROI_SCALE = 1.25
_SCORE_TOLERANCE = 0.2
# A person whose region is less than this much of the image is searched for once more, in a crop.
_SMALL = 0.4
_HEATMAP_KERNEL = 7
_HEATMAP_CONFIDENCE = 0.5


@dataclass(frozen=True)
class PoseDetection:
    """One person in one image.

    Attributes:
        px: ``33 2`` landmark positions in image pixels, in the order of `POSE33` (the person's own
            left).
        visibility: ``33``, 0..1, that the landmark is in the image and not hidden.
        presence: ``33``, 0..1, that the landmark is in the image.
        world: ``33 3`` metres about the mid hip, camera-like axes (+y down); the network's guess, not a
            measurement.
        score: 0..1, that the region holds a person.
        roi: the region that the network saw.
        next_roi: where the landmarks say the region should be.
        spread_px: ``33``, median distance of several looks from their median; 0 after one look.
        soft_mask: the person as the network segments its region, about a quarter of the image's resolution.
        image_size: width, height of the image.
    """

    px: Float[np.ndarray, "33 2"]
    visibility: Float[np.ndarray, "33"]
    presence: Float[np.ndarray, "33"]
    world: Float[np.ndarray, "33 3"]
    score: float
    roi: Roi
    next_roi: Roi
    spread_px: Float[np.ndarray, "33"]
    soft_mask: SoftMask
    image_size: tuple[int, int]

    @property
    def mask(self) -> Float[np.ndarray, "h w"]:
        """``h w`` the person, 0..1, in the whole image."""
        return self.soft_mask.in_image(*self.image_size)


def region_of_body(hip: np.ndarray, reach: np.ndarray) -> Roi:
    """The square about `hip` whose radius is the distance to `reach`, turned so that `reach` is above."""
    dx, dy = float(reach[0] - hip[0]), float(reach[1] - hip[1])
    rotation = np.pi / 2 - np.arctan2(-dy, dx)
    return Roi.square(hip, 2.0 * float(np.hypot(dx, dy)) * _ROI_SCALE, rotation)


def region_of_mask(mask: Float[np.ndarray, "h w"]) -> Roi | None:
    """The upright square about the body of a mask of the person; None of an empty one."""
    rows, columns = (np.flatnonzero((mask > 0.5).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]]) + 1.0
    middle = 0.5 * (low + high)
    return region_of_body(middle, middle - np.array([0.0, 0.5 * float(np.max(high - low))]))


def refine_by_heatmaps(
    px: Float[np.ndarray, "k 2"], heatmaps: Float[np.ndarray, "h w k"], side: int = _SIDE
) -> Float[np.ndarray, "k 2"]:
    """Moves each landmark to the centre of mass of its heatmap in a small window about it, where that is
    confident.

    Source: `refine_landmarks_from_heatmap_calculator.cc`, kernel 7, confidence 0.5.
    """
    rows, columns = heatmaps.shape[:2]
    reach = (_HEATMAP_KERNEL - 1) // 2
    refined = px.copy()
    for index, (x, y) in enumerate(px):
        column, row = int(x / side * columns), int(y / side * rows)
        if not (0 <= column < columns and 0 <= row < rows):
            continue
        top, left = max(0, row - reach), max(0, column - reach)
        window = sigmoid(heatmaps[top : row + reach + 1, left : column + reach + 1, index])
        total = float(window.sum())
        if float(window.max()) < _HEATMAP_CONFIDENCE or total <= 0.0:
            continue
        mean_row = float((window.sum(axis=1) * np.arange(top, top + window.shape[0])).sum()) / total
        mean_column = float((window.sum(axis=0) * np.arange(left, left + window.shape[1])).sum()) / total
        refined[index] = (mean_column / columns * side, mean_row / rows * side)
    return refined


class PoseNetwork:
    """Finds a person and its landmarks. Holds interpreters: one object per thread."""

    def __init__(self, threads: int = 1) -> None:
        """Loads `pose_detection` and `pose_landmark_full`.

        Raises:
            AssetError, MissingExtraError: see `Network`.
        """
        self._detector = Detector(
            Network.load("pose_detection", threads), _DETECTOR_STRIDES, boxes="Identity", scores="Identity_1"
        )
        self._landmarks = Network.load("pose_landmark_full", threads)

    def find(self, image: Float[np.ndarray, "h w 3"], *, tiles: bool = True) -> Roi | None:
        """The region of the largest person that the detector is sure of, or None.

        Args:
            image: RGB in 0..1.
            tiles: look for small persons in overlapping tiles when the whole image shows none.
        """
        found = detect(self._detector, image)
        if found:
            # Bystanders are smaller: of those that it is about as sure of, the largest person is meant.
            sure = [person for person in found if person.score >= found[0].score - _SCORE_TOLERANCE]
            roi = max((region_of_body(*person.keypoints[:2]) for person in sure), key=lambda r: r.size[0])
        elif tiles and (found := detect(self._detector, image, tiles_of(image.shape[1], image.shape[0]))):
            roi = region_of_body(*found[0].keypoints[:2])
        else:
            return None
        return self._closer(image, roi) if roi.size[0] < _SMALL * max(image.shape[:2]) else roi

    def find_all(self, image: Float[np.ndarray, "h w 3"], *, tiles: bool = True) -> list[Roi]:
        """Regions of everybody whom the detector is sure of, the surest first; several may be of one person.

        Args:
            image: RGB in 0..1.
            tiles: look in overlapping tiles too: in a whole image the detector finds one person of three.
        """
        found = detect(self._detector, image)
        if tiles:
            found += detect(self._detector, image, tiles_of(image.shape[1], image.shape[0]))
        regions: list[Roi] = []
        for person in sorted(found, key=lambda detection: -detection.score):
            region = region_of_body(*person.keypoints[:2])
            if not any(_is_same_region(region, other) for other in regions):
                regions.append(region)
        return regions

    def _closer(self, image: Float[np.ndarray, "h w 3"], roi: Roi) -> Roi:
        """The region of a small person once more, by a detector that is shown little else."""
        found = detect(self._detector, image, [Roi.square(roi.center, 2.0 * roi.size[0])])
        return region_of_body(*found[0].keypoints[:2]) if found else roi

    def predict(
        self, image: Float[np.ndarray, "h w 3"], roi: Roi, *, min_score: float = 0.5
    ) -> PoseDetection | None:
        """The landmarks of the person in a region, or None where the network sees none there."""
        seen = roi.sampled_as_mediapipe(_SIDE, _SIDE)
        outputs = self._landmarks.predict(crop(image, seen, _SIDE, _SIDE, replicate=True))
        score = float(outputs["Identity_1"][0])
        if score < min_score:
            return None
        values = outputs["Identity"].reshape(39, 5)
        px = points_to_image(refine_by_heatmaps(values[:, :2], outputs["Identity_3"]), seen, _SIDE, _SIDE)
        height, width = image.shape[:2]
        return PoseDetection(
            px=px[:33],
            visibility=sigmoid(values[:33, 3]),
            presence=sigmoid(values[:33, 4]),
            world=_rotate(outputs["Identity_4"].reshape(39, 3)[:33], roi.rotation),
            score=score,
            roi=roi,
            next_roi=region_of_body(px[33], px[34]),
            spread_px=np.zeros(33, dtype=np.float32),
            soft_mask=SoftMask(sigmoid(outputs["Identity_2"][..., 0]), seen),
            image_size=(width, height),
        )

    def __call__(self, image: Float[np.ndarray, "h w 3"]) -> PoseDetection | None:
        """The person of an image (RGB in 0..1), or None."""
        roi = self.find(image)
        return None if roi is None else self.predict(image, roi)


def _is_same_region(one: Roi, other: Roi) -> bool:
    """Whether two regions differ by less than the landmark network cares about."""
    ratio = one.size[0] / other.size[0]
    apart = float(np.hypot(one.center[0] - other.center[0], one.center[1] - other.center[1]))
    return 0.8 < ratio < 1.25 and apart < 0.1 * max(one.size[0], other.size[0])


def tiles_of(width: int, height: int) -> list[Roi]:
    """Squares that cover an image, of 1/2 and then of 1/3 of its longer side, overlapping by a third or more."""
    longer = max(width, height)
    tiles = []
    for parts in (2, 3):
        side = longer / parts
        counts = (max(1, round(1.4 * size / side)) for size in (width, height))
        xs, ys = (
            np.linspace(side / 2, size - side / 2, count)
            for size, count in zip((width, height), counts, strict=True)
        )
        tiles += [Roi.square((x, y), side) for y in ys for x in xs]
    return tiles


def _rotate(world: Float[np.ndarray, "n 3"], rotation: float) -> Float[np.ndarray, "n 3"]:
    cos, sin = np.cos(rotation), np.sin(rotation)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return (world @ turn.T).astype(np.float32)
