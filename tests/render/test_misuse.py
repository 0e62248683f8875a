"""Calls that cannot be meant are sentences, without the types that tests check: as whoever uses the library has it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json
import torch
from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians, rasterize_features, rasterize_gaussians
from simulacra.render.mesh import antialias, rasterize_mesh

K = torch.tensor([[[50.0, 0, 8], [0, 50, 8], [0, 0, 1]]])
one = Cameras(torch.eye(4)[None], K, 16, 16)
ball = Gaussians(
    torch.tensor([[0.0, 0, 2]]), torch.tensor([[1.0, 0, 0, 0]]), torch.zeros(1, 3), torch.zeros(1), torch.ones(1, 1, 3)
)
verts, faces = torch.tensor([[0.0, 0, 2], [1, 0, 2], [0, 1, 2]]), torch.tensor([[0, 1, 2]])
calls = {
    "splat backend": lambda: rasterize_gaussians(ball, one, backend="gpu"),
    "feature backend": lambda: rasterize_features(ball, torch.ones(1, 2), one, backend="gpu"),
    "mesh backend": lambda: rasterize_mesh(verts, faces, one, backend="cuda"),
    "outline backend": lambda: antialias(torch.ones(1, 16, 16, 1), verts, faces, one, None, backend="gpu"),
    "two viewmats": lambda: Cameras(torch.eye(4).expand(2, 4, 4), K, 16, 16),
    "two Ks": lambda: Cameras(torch.eye(4)[None], K.expand(2, 3, 3), 16, 16),
    "no batch": lambda: Cameras(torch.eye(4), K[0], 16, 16),
    "parts of pixels": lambda: Cameras(torch.eye(4)[None], K, 16.0, 16),
    "a tuple": lambda: rasterize_gaussians(ball, one, background=(0.0, 0.0, 0.0)),
    "four channels": lambda: rasterize_gaussians(ball, one, background=torch.zeros(4)),
}
said = {}
for name, call in calls.items():
    try:
        call()
    except ValueError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


@pytest.mark.parametrize(
    ("call", "sentence"),
    {
        "splat backend": "no backend 'gpu'; there are auto, reference, cpu, cuda",
        "feature backend": "no backend 'gpu'; there are auto, reference, cpu, cuda",
        "mesh backend": "no backend 'cuda'; there are auto, reference, cpu, pytorch3d",
        "outline backend": "no backend 'gpu'; there are auto, reference, cpu, pytorch3d",
        "two viewmats": "2 viewmats and 1 Ks: every camera has one of each; the same K for all is K.expand(2, 3, 3)",
        "two Ks": "1 viewmats and 2 Ks: every camera has one of each",
        "no batch": "not (4, 4) and (3, 3); one camera is a batch of one: viewmat[None], K[None]",
        "parts of pixels": "an image has whole pixels, not 16.0 x 16",
        "a tuple": "a background is a tensor of shape (3,), not tuple",
        "four channels": "a background is a tensor of shape (3,), not (4,)",
    }.items(),
)
def test_a_call_that_cannot_be_meant_is_a_sentence(said: dict[str, str], call: str, sentence: str) -> None:
    assert sentence in said[call]
