"""What the captures show in two dimensions: landmarks of body, face and hands, and masks."""

from simulacra.recon.observe.consensus import predict_repeatedly
from simulacra.recon.observe.face import FaceDetection, FaceNetwork
from simulacra.recon.observe.hands import HandDetection, HandNetwork, Hands
from simulacra.recon.observe.observations import Observations, load_observations, save_observations
from simulacra.recon.observe.over_session import ObserveConfig, observe
from simulacra.recon.observe.pose import PoseDetection, PoseNetwork
from simulacra.recon.observe.selfie import SelfieNetwork

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
    "load_observations",
    "observe",
    "predict_repeatedly",
    "save_observations",
]
