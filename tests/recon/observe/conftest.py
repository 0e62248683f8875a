"""The networks, where they are, and what MediaPipe itself finds in real images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from simulacra.recon.observe import FaceNetwork, HandNetwork, PoseNetwork
from simulacra.recon.observe.roi import Roi
from simulacra.render.image import read_image
from simulacra.render.runtime.assets import asset_path
from simulacra.render.runtime.errors import AssetError

NETWORKS = (
    "pose_detection",
    "pose_landmark_full",
    "face_detection_short_range",
    "face_landmark",
    "iris_landmark",
    "palm_detection_full",
    "hand_landmark_full",
    "selfie_segmentation",
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.fixture(scope="session")
def networks() -> None:
    """A skip where the network files are not on this machine."""
    for name in NETWORKS:
        try:
            asset_path(name)
        except AssetError as error:
            pytest.skip(f"network {name} is not here ({error.what}); `simulacra assets` fetches it")


@pytest.fixture(scope="session")
def pose_network(networks: None) -> PoseNetwork:
    return PoseNetwork()


@pytest.fixture(scope="session")
def face_network(networks: None) -> FaceNetwork:
    return FaceNetwork()


@pytest.fixture(scope="session")
def hand_network(networks: None) -> HandNetwork:
    return HandNetwork()


@dataclass(frozen=True)
class Example:
    """A real image and MediaPipe's answer, in MediaPipe's positions."""

    key: str
    image: np.ndarray
    pose: np.ndarray
    face: np.ndarray | None
    hands: tuple[tuple[str, np.ndarray], ...]


@pytest.fixture(scope="session")
def examples(capture_folder: Callable[[str], Path]) -> Callable[[str], list[Example]]:
    """`examples(capture)`: all examples of one capture."""
    answers = json.loads((capture_folder("mediapipe_reference") / "landmarks.json").read_text())
    read: dict[str, list[Example]] = {}

    def of(capture: str) -> list[Example]:
        if capture not in read:
            root = capture_folder(capture).parent
            keys = [key for key in answers if key.startswith(capture + "/")]
            images = _images(root, keys)
            read[capture] = [_example(key, images[key], answers[key]) for key in keys]
        return read[capture]

    return of


def _example(key: str, image: np.ndarray, answer: dict) -> Example:
    face = answer.get("face")
    hands = tuple((hand["label"], np.array(hand["points"])) for hand in answer.get("hands") or [])
    return Example(key, image, np.array(answer["pose"]), None if face is None else np.array(face), hands)


def _images(root: Path, keys: list[str]) -> dict[str, np.ndarray]:
    images = {}
    for path in dict.fromkeys(key.partition("#")[0] for key in keys):
        if path + "#" not in "".join(keys) and path in keys:
            images[path] = read_image(root / path)
            continue
        with av.open(str(root / path)) as video:
            for number, frame in enumerate(video.decode(video=0)):
                if f"{path}#{number}" in keys:
                    images[f"{path}#{number}"] = frame.to_ndarray(format="rgb24").astype(np.float32) / 255
    return images


def mediapipe_offset(roi: Roi, side: int) -> np.ndarray:
    """How far MediaPipe's positions lie from where the samples were read: see `Roi.sampled_as_mediapipe`."""
    seen = roi.sampled_as_mediapipe(side, side)
    # MediaPipe counts pixels from 0 at the first one's centre and does not know of the half crop pixel.
    return np.array(roi.center) - np.array(seen.center)
