"""Face landmarks: MediaPipe's short-range face detector, face mesh and iris networks.

Source: MediaPipe 0.10.21, `modules/face_detection`, `modules/face_landmark`, `modules/iris_landmark`.
Beyond MediaPipe: the head's region of the pose is searched first, so that faces much smaller than the image
are found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.detection import Detection, Detector, detect
from simulacra.recon.observe.network import Network, sigmoid
from simulacra.recon.observe.pose import PoseDetection
from simulacra.recon.observe.roi import Roi, crop, points_to_image

FACE_POINTS = 478

_SIDE = 192
_IRIS_SIDE = 64
_DETECTOR_STRIDES = (8, 16, 16, 16)
_ROI_SCALE = 1.5
_IRIS_ROI_SCALE = 2.3
# Outer and inner corner of each eye in the face mesh, from the viewer's left to right.
_RIGHT_EYE = (33, 133)
_LEFT_EYE = (362, 263)
# The head in the pose landmarks: nose, eyes, ears, mouth.
_HEAD = slice(0, 11)


@dataclass(frozen=True)
class FaceDetection:
    """One face in one image.

    Attributes:
        px: ``478 2`` image pixels: 468 points of the face mesh, then 5 of the person's right and 5 of the
            left iris (centre first), as MediaPipe numbers them with refined landmarks.
        score: 0..1, that the region holds a face.
        roi: the region that the mesh network saw.
    """

    px: Float[np.ndarray, "478 2"]
    score: float
    roi: Roi


class FaceNetwork:
    """Finds a face and its landmarks. Holds interpreters: one object per thread."""

    def __init__(self, threads: int = 1) -> None:
        """Loads `face_detection_short_range`, `face_landmark` and `iris_landmark`.

        Raises:
            AssetError, MissingExtraError: see `Network`.
        """
        self._detector = Detector(
            Network.load("face_detection_short_range", threads),
            _DETECTOR_STRIDES,
            boxes="regressors",
            scores="classificators",
        )
        self._mesh = Network.load("face_landmark", threads)
        self._iris = Network.load("iris_landmark", threads)

    def predict(
        self, image: Float[np.ndarray, "h w 3"], roi: Roi, *, min_score: float = 0.5
    ) -> FaceDetection | None:
        """The landmarks of the face in a region, or None where the network sees none there."""
        seen = roi.sampled_as_mediapipe(_SIDE, _SIDE)
        outputs = self._mesh.predict(crop(image, seen, _SIDE, _SIDE, replicate=True))
        score = float(sigmoid(outputs["conv2d_31"].reshape(1))[0])
        if score < min_score:
            return None
        px = points_to_image(outputs["conv2d_21"].reshape(468, 3)[:, :2], seen, _SIDE, _SIDE)
        right = self._predict_iris(image, px[list(_RIGHT_EYE)], mirror=False)
        # The network knows one eye; the other is shown to it in a mirror.
        left = self._predict_iris(image, px[list(_LEFT_EYE)], mirror=True)
        return FaceDetection(np.concatenate([px, right, left]), score, roi)

    def _predict_iris(
        self, image: Float[np.ndarray, "h w 3"], corners: Float[np.ndarray, "2 2"], *, mirror: bool
    ) -> Float[np.ndarray, "5 2"]:
        dx, dy = corners[1] - corners[0]
        roi = Roi.square(
            corners.mean(axis=0), float(np.hypot(dx, dy)) * _IRIS_ROI_SCALE, float(np.arctan2(dy, dx)), mirror
        )
        seen = roi.sampled_as_mediapipe(_IRIS_SIDE, _IRIS_SIDE)
        outputs = self._iris.predict(crop(image, seen, _IRIS_SIDE, _IRIS_SIDE, replicate=True))
        return points_to_image(outputs["output_iris"].reshape(5, 3)[:, :2], seen, _IRIS_SIDE, _IRIS_SIDE)

    def __call__(
        self, image: Float[np.ndarray, "h w 3"], pose: PoseDetection | None = None, *, refine: bool = True
    ) -> FaceDetection | None:
        """The face of the person of `pose`, or of the whole image's most certain face without one; None if
        there is none.

        Args:
            image: RGB in 0..1.
            pose: where the person is.
            refine: look a second time, at the region that the first landmarks say, as MediaPipe's tracking
                does.
        """
        found = detect(self._detector, image, None if pose is None else [region_of_head(pose)])
        if not found:
            return None
        face = self.predict(image, region_of_detection(found[0]))
        if face is None or not refine:
            return face
        return self.predict(image, region_of_face(face.px)) or face


def region_of_head(pose: PoseDetection) -> Roi:
    """An upright square about the head in which a face fills about a third, as the detector likes it."""
    head = pose.px[_HEAD]
    center = (head.min(axis=0) + head.max(axis=0)) / 2
    shoulders = float(np.hypot(*(pose.px[11] - pose.px[12])))
    extent = float(np.max(np.ptp(head, axis=0)))
    return Roi.square(center, max(3.0 * extent, 1.2 * shoulders, 32.0))


def region_of_detection(detection: Detection) -> Roi:
    """The detected box as a square, level with the eyes, times 1.5."""
    dx, dy = detection.keypoints[1] - detection.keypoints[0]
    return Roi.square(detection.center, float(max(detection.size)) * _ROI_SCALE, float(np.arctan2(dy, dx)))


def region_of_face(px: Float[np.ndarray, "n 2"]) -> Roi:
    """The landmarks' bounding box as a square, level with the outer eye corners, times 1.5."""
    dx, dy = px[_LEFT_EYE[1]] - px[_RIGHT_EYE[0]]
    rotation = float(np.arctan2(dy, dx))
    cos, sin = np.cos(rotation), np.sin(rotation)
    level = px[:468] @ np.array([[cos, -sin], [sin, cos]])
    low, high = level.min(axis=0), level.max(axis=0)
    center = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
    return Roi.square(center, float(max(high - low)) * _ROI_SCALE, rotation)
