"""Makes golden.npz: what the anny package itself answers to random shapes, poses and expressions.

Run once, where anny and its dependencies are installed (nowhere else in this project are they needed):

    python -m venv anny && anny/bin/pip install anny
    anny/bin/python tests/render/body/make_golden.py

The parameters are drawn with numpy, so that the file depends on nothing but anny. Everything is stored as
anny has
it: Z up, facing -Y, its `local-ref` pose parameters; the test turns them into ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anny  # type: ignore[import-not-found]
import numpy as np
import roma  # type: ignore[import-not-found]
import torch

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "render" / "body"))
from selection import LOCAL_CHANGE_NAMES  # type: ignore[import-not-found]  # noqa: E402

CASES = 6
VERTEX_STEP = 11  # every 11th vertex: all parts of the body, a small file


def draw_parameters(model: anny.Anny, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random parameters; case 0 an adult at zero pose, 1 a newborn, 2 on the anchors."""
    phenotypes = rng.uniform(0.0, 1.0, (CASES, len(model.phenotype_labels)))
    local = rng.uniform(-1.0, 1.0, (CASES, len(LOCAL_CHANGE_NAMES)))
    expression = rng.uniform(0.0, 1.0, (CASES, len(model.facial_action_labels)))
    rotations = rng.normal(0.0, 0.35, (CASES, len(model.bone_labels), 3))
    root = rng.uniform(-1.0, 1.0, (CASES, 3))
    phenotypes[0], local[0], expression[0], rotations[0], root[0] = 0.5, 0.0, 0.0, 0.0, 0.0
    age = model.phenotype_labels.index("age")
    phenotypes[0, age] = 2 / 3
    phenotypes[1, age] = -0.2
    phenotypes[2] = rng.choice([0.0, 0.5, 1.0], len(model.phenotype_labels))
    return {
        "phenotypes": phenotypes,
        "local_changes": local,
        "expression": expression,
        "rotations": rotations,
        "root": root,
    }


def local_change_arguments(model: anny.Anny, values: np.ndarray) -> dict[str, torch.Tensor]:
    """One of our symmetric changes is anny's left and right one together."""
    arguments = {}
    for name, column in zip(LOCAL_CHANGE_NAMES, values.T, strict=True):
        labels = [label for label in (name, f"l-{name}", f"r-{name}") if label in model.local_change_labels]
        assert labels in ([name], [f"l-{name}", f"r-{name}"]), name
        arguments.update({label: torch.tensor(column) for label in labels})
    return arguments


def main() -> None:
    model = anny.Anny(
        local_changes="all",
        facial_actions="all",
        phenotypes="all",
        phenotype_blendshapes="original",
        skinning_method="lbs",
    ).to(torch.float64)
    parameters = draw_parameters(model, np.random.default_rng(20))
    deltas = roma.Rigid(
        roma.rotvec_to_rotmat(torch.tensor(parameters["rotations"])),
        torch.zeros(CASES, len(model.bone_labels), 3, dtype=torch.float64),
    ).to_homogeneous()
    deltas[:, 0, :3, 3] = torch.tensor(parameters["root"])
    output = model(
        deltas,
        torch.tensor(parameters["phenotypes"]),
        local_change_arguments(model, parameters["local_changes"]),
        torch.tensor(parameters["expression"]),
        pose_parameterization="local-ref",
    )
    golden = Path(__file__).with_name("golden.npz")
    np.savez_compressed(
        golden,
        bone_names=np.array(model.bone_labels),
        phenotype_names=np.array(model.phenotype_labels),
        expression_names=np.array(model.facial_action_labels),
        vertices=output["vertices"][:, ::VERTEX_STEP].float().numpy(),
        rest_vertices=output["rest_vertices"][:, ::VERTEX_STEP].float().numpy(),
        bone_poses=output["bone_poses"][:, :, :3].float().numpy(),
        rest_bone_poses=output["rest_bone_poses"][:, :, :3].float().numpy(),
        **{name: value.astype(np.float32) for name, value in parameters.items()},
        anny_version=anny.models.model_data.ANNY_VERSION,
    )
    print(golden, golden.stat().st_size)


if __name__ == "__main__":
    main()
