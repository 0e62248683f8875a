"""What the captures show in two dimensions: landmarks of body, face and hands, and masks."""

from simulacra.recon.observe.consensus import predict_repeatedly
from simulacra.recon.observe.face import FaceDetection, FaceNetwork, detect_face
from simulacra.recon.observe.hands import HandDetection, HandNetwork, Hands, detect_hands
from simulacra.recon.observe.observations import Observations, load_observations, save_observations
from simulacra.recon.observe.over_session import ObserveConfig, observe
from simulacra.recon.observe.pose import PoseDetection, PoseNetwork, detect_pose
from simulacra.recon.observe.selfie import SelfieNetwork, segment_selfie

__all__ = [
    "FaceDetection",
    "FaceNetwork",
    "HandDetection",
    "HandNetwork",
    "Hands",
    "Observations",
    "ObserveConfig",
    "PoseDetection",
    "PoseNetwork",
    "SelfieNetwork",
    "detect_face",
    "detect_hands",
    "detect_pose",
    "load_observations",
    "observe",
    "predict_repeatedly",
    "save_observations",
    "segment_selfie",
]
