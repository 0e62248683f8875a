"""A parametric person: shape, pose and expression to vertices, bones and keypoints."""

from simulacra.render.body.keypoints import KeypointMap
from simulacra.render.body.load import load_body
from simulacra.render.body.model import BodyModel
from simulacra.render.body.records import BodyPose, BodyShape, PosedBody, RestBody

__all__ = ["BodyModel", "BodyPose", "BodyShape", "KeypointMap", "PosedBody", "RestBody", "load_body"]
