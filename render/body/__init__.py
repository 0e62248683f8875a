"""A parametric person: shape, pose and expression to vertices, bones and keypoints.

Read `records`, then `model`: `anny` makes shapes (`offsets`), `skeleton` poses bones and skin, `keypoints` and
`landmarks` are detectors' points on it, `parts` names its regions, `between` interpolates poses. `load` opens the
default body, which `bake` makes once out of outside data (`targets`, `selection`).
"""

from simulacra.render.body.keypoints import KeypointMap
from simulacra.render.body.load import load_body
from simulacra.render.body.model import BodyModel
from simulacra.render.body.records import BodyPose, BodyShape, PosedBody, RestBody

__all__ = ["BodyModel", "BodyPose", "BodyShape", "KeypointMap", "PosedBody", "RestBody", "load_body"]
