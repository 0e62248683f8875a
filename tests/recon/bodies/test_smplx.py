"""SMPL-X against the authors' own package, on a made-up model with the layout of its files, and on the user's own."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csc_matrix, csr_array

from simulacra.recon.bodies.files import find_smplx, read_smplx
from simulacra.render.body import BodyModel
from simulacra.render.body.linear import linear_shapes
from simulacra.render.body.smplx import (
    BONE_OF_JOINT,
    JOINTS,
    SmplxModel,
    SmplxPose,
    body_pose,
    body_shape,
    smplx_as_body,
    smplx_joints,
    smplx_pose,
    smplx_shape,
    smplx_vertices,
)
from simulacra.render.runtime.errors import InputError
from tests.recon.bodies.made_model import write_npz, write_pkl


def some_pose(model: SmplxModel, frames: int = 3, expression: float = 1.0) -> tuple[torch.Tensor, SmplxPose]:
    """Betas and poses in all joints."""
    rng = torch.Generator().manual_seed(3)
    pose = SmplxPose(
        0.4 * torch.randn(frames, len(JOINTS), 3, generator=rng),
        torch.randn(frames, 3, generator=rng),
        expression * torch.randn(frames, len(model.expression_dirs), generator=rng),
    )
    return torch.randn(len(model.shape_dirs), generator=rng), pose


def reference_vertices(
    path: Path, betas: torch.Tensor, pose: SmplxPose, monkeypatch: pytest.MonkeyPatch
) -> np.ndarray:
    """What the `smplx` package makes of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("smplx", reason="the authors' package `smplx` is not installed")
    models = package.body_models
    known = models.VERTEX_IDS["smplx"]
    # The package names vertices of the real mesh, of which a smaller one has not all.
    count = len(np.load(path)["v_template"])
    monkeypatch.setitem(models.VERTEX_IDS, "smplx", {name: at % count for name, at in known.items()})
    frames = len(pose.rotations)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = models.SMPLX(
            str(path), batch_size=frames, use_pca=False, flat_hand_mean=True, num_betas=len(betas),
            num_expression_coeffs=pose.expression.shape[1], ext="npz",
        )  # fmt: skip
        told = layer(
            betas=betas.expand(frames, -1), expression=pose.expression, transl=pose.translation,
            global_orient=pose.rotations[:, 0], body_pose=pose.rotations[:, 1:22].flatten(1),
            jaw_pose=pose.rotations[:, 22], leye_pose=pose.rotations[:, 23], reye_pose=pose.rotations[:, 24],
            left_hand_pose=pose.rotations[:, 25:40].flatten(1), right_hand_pose=pose.rotations[:, 40:].flatten(1),
        )  # fmt: skip
    return told.vertices.detach().numpy()


def check_against_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a hundredth of a millimetre, which is float32 over a chain of ten joints."""
    model = read_smplx(path)
    betas, pose = some_pose(model)
    expected = reference_vertices(path, betas, pose, monkeypatch)
    assert np.abs(smplx_vertices(model, betas, pose).numpy() - expected).max() < 1e-5
    # The comparison sees each part: without expression, corrections of the pose or betas it fails.
    still = SmplxPose(pose.rotations, pose.translation, 0 * pose.expression)
    assert np.abs(smplx_vertices(model, betas, still).numpy() - expected).max() > 1e-4
    assert np.abs(smplx_vertices(model, 0 * betas, pose).numpy() - expected).max() > 1e-4


def test_vertices_are_those_of_the_authors_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_against_package(folder / "SMPLX_NEUTRAL.npz", monkeypatch)


def test_vertices_of_the_users_own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    given = os.environ.get("SIMULACRA_SMPLX")
    if not given:
        pytest.skip("$SIMULACRA_SMPLX does not name a folder with SMPL-X's own files, which are not free")
    path = find_smplx(Path(given))
    if path.suffix != ".npz":
        pytest.skip("the package is compared on an .npz")
    check_against_package(path, monkeypatch)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_says_what_the_npz_does(
    arrays: dict[str, np.ndarray], folder: Path, tmp_path: Path, protocol: int
) -> None:
    plain = read_smplx(folder / "SMPLX_NEUTRAL.npz")
    pickled = read_smplx(write_pkl(tmp_path / "SMPLX_NEUTRAL.pkl", arrays, protocol))
    for name in SmplxModel.__dataclass_fields__:
        assert torch.equal(getattr(plain, name), getattr(pickled, name)), name


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "made"),)

    path = tmp_path / "SMPLX_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps({"v_template": Bad()}))
    with pytest.raises(InputError, match="cannot be read"):
        read_smplx(path)
    assert not (tmp_path / "made").exists()


def test_a_sparse_matrix_that_points_beyond_itself_is_refused(
    arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    matrix = csc_matrix(arrays["J_regressor"])
    matrix.indices[0] = 1_000_000
    path = tmp_path / "SMPLX_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(arrays | {"J_regressor": matrix}))
    with pytest.raises(InputError, match="sparse matrix"):
        read_smplx(path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("weights", lambda a: a[:-1], "weights of the model"),
        ("posedirs", lambda a: a[..., :207], "posedirs of the model"),
        ("f", lambda a: a + 100_000, "vertices that are not there"),
        ("kintree_table", lambda a: a[:, :24], "not those of SMPL-X"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays, name, change, said, tmp_path) -> None:
    path = write_npz(tmp_path / "SMPLX_NEUTRAL.npz", arrays | {name: change(arrays[name])})
    with pytest.raises(InputError, match=said):
        read_smplx(path)


def test_a_folder_without_a_model_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No model of SMPL-X"):
        find_smplx(tmp_path)


@pytest.fixture(scope="module")
def model(folder: Path) -> SmplxModel:
    return read_smplx(folder / "SMPLX_NEUTRAL.npz")


@pytest.fixture(scope="module")
def foreign(model: SmplxModel, body: BodyModel) -> BodyModel:
    return smplx_as_body(model, body)


def test_behind_our_interface_it_is_the_same_model(model: SmplxModel, foreign: BodyModel) -> None:
    """Every pose and shape: within float32's rounding over a chain of ten joints."""
    betas, pose = some_pose(model, expression=0.0)
    shape = body_shape(betas)
    rest = foreign.rest(shape)
    ours = body_pose(foreign, rest, pose, smplx_joints(model, betas))
    expected = smplx_vertices(model, betas, pose)
    torch.testing.assert_close(foreign.pose(rest, ours).verts, expected, atol=1e-5, rtol=0)
    some = torch.arange(5, foreign.n_verts, 7)
    torch.testing.assert_close(
        foreign.pose(rest, ours, vertices=some).verts, expected[:, some], atol=1e-5, rtol=0
    )
    torch.testing.assert_close(smplx_shape(shape), betas)


def test_expressions_move_the_skin_as_they_should(model: SmplxModel, foreign: BodyModel) -> None:
    """But for what they do to joints, which stay here: the skin that hangs on them moves by less than half a mm."""
    betas, pose = some_pose(model, expression=0.6)
    rest = foreign.rest(body_shape(betas))
    ours = body_pose(foreign, rest, pose, smplx_joints(model, betas))
    assert float(ours.expression.min()) >= 0
    gap = (foreign.pose(rest, ours).verts - smplx_vertices(model, betas, pose)).norm(dim=-1)
    still = SmplxPose(pose.rotations, pose.translation, 0 * pose.expression)
    moved = (smplx_vertices(model, betas, still) - smplx_vertices(model, betas, pose)).norm(dim=-1)
    assert float(gap.max()) < 5e-4 < float(moved.max())


def test_any_pose_of_our_bones_is_one_of_the_model(model: SmplxModel, foreign: BodyModel) -> None:
    """The bones between joints only turn what comes after them."""
    rng = torch.Generator().manual_seed(5)
    betas, zero = some_pose(model)[0], foreign.zero_pose(2)
    turns = 0.3 * torch.randn(zero.rotations.shape, generator=rng)
    shape = body_shape(betas)
    pose = type(zero)(turns, torch.randn(2, 3, generator=rng), zero.expression)
    theirs = smplx_pose(model, foreign, shape, pose)
    expected = foreign.pose(foreign.rest(shape), pose).verts
    torch.testing.assert_close(smplx_vertices(model, betas, theirs), expected, atol=1e-5, rtol=0)


def test_zero_pose_is_that_of_the_default_body(
    model: SmplxModel, foreign: BodyModel, body: BodyModel
) -> None:
    """Limbs lie as ours do: the same directions, so that a pose means the same on either."""
    rest = body.rest(body.neutral_shape())
    ours = body.pose(rest, body.zero_pose()).T_world_bone[0, :, :3, 3]
    other = foreign.rest(body_shape(torch.zeros(len(model.shape_dirs))))
    theirs = foreign.pose(other, foreign.zero_pose()).T_world_bone[0, :, :3, 3]
    for first, last in (("upperarm01", "lowerarm01"), ("lowerarm01", "wrist"), ("lowerleg01", "foot")):
        for side in "LR":
            one, two = (
                torch.nn.functional.normalize(
                    heads[b.bone_names.index(f"{last}.{side}")]
                    - heads[b.bone_names.index(f"{first}.{side}")],
                    dim=0,
                )
                for heads, b in ((ours, body), (theirs, foreign))
            )
            assert float(one @ two) > 0.9999
    assert set(BONE_OF_JOINT) <= set(foreign.bone_names)


def test_the_fits_table_of_shapes_is_the_body(model: SmplxModel, foreign: BodyModel) -> None:
    """Without phenotypes there are no products in it, only betas."""
    verts = torch.arange(3, foreign.n_verts, 500)
    ones = np.ones(len(verts), np.float32)
    sums = csr_array((ones, (np.arange(len(verts)), verts.numpy())), (len(verts), foreign.n_verts))
    shape = body_shape(some_pose(model)[0])
    found, expected = linear_shapes(foreign.shapes, sums).evaluate(shape), foreign.shapes.evaluate(shape)
    torch.testing.assert_close(found.points, expected.verts[verts], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.heads, expected.heads, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.frames, expected.frames, atol=1e-6, rtol=0)
