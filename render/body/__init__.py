"""A parametric person: shape, pose and expression to vertices, bones and keypoints."""

from render.body.keypoints import KeypointMap
from render.body.load import load_body
from render.body.model import BodyModel
from render.body.records import BodyPose, BodyShape, PosedBody, RestBody

__all__ = ["BodyModel", "BodyPose", "BodyShape", "KeypointMap", "PosedBody", "RestBody", "load_body"]
