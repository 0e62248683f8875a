"""What EasyMocap, ExAvatar and VHAP write, in files made here of their layouts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from simulacra.recon.bodies.convert import convert
from simulacra.recon.bodies.opening import OpenedSmplx, body_name_of, open_body, open_smplx, remember_folder
from simulacra.recon.bodies.people import made_people
from simulacra.recon.bodies.tracked import tracked_person
from simulacra.recon.motion import load_motion
from simulacra.recon.motion.tracks import load_track
from simulacra.render.body import BodyModel
from simulacra.render.body.smplx import SmplxPose, smplx_vertices
from simulacra.render.runtime.errors import ConfigError, InputError


@pytest.fixture(scope="module")
def opened(folder: Path) -> OpenedSmplx:
    return open_smplx(folder)


@pytest.fixture
def turns() -> np.ndarray:
    return 0.3 * np.random.default_rng(1).normal(size=(4, 55, 3))


def write_exavatar(folder: Path, turns: np.ndarray) -> Path:
    folder.mkdir()
    for frame, turn in enumerate(turns):
        parts = dict(zip(
            ("root_pose", "body_pose", "jaw_pose", "leye_pose", "reye_pose", "lhand_pose", "rhand_pose"),
            np.split(turn.reshape(-1), np.cumsum([3, 63, 3, 3, 3, 45])), strict=True,
        ))  # fmt: skip
        said = {name: part.tolist() for name, part in parts.items()}
        # Frames are numbers, and the tenth comes after the ninth.
        (folder / f"{frame + 8}.json").write_text(
            json.dumps(said | {"expr": [0.0] * 50, "trans": [frame, 1.0, 2.0]})
        )
    return folder


def write_easymocap(folder: Path, turns: np.ndarray, hands: np.ndarray | None, betas: np.ndarray) -> Path:
    folder.mkdir()
    for frame, turn in enumerate(turns):
        poses = np.concatenate([np.zeros(3), turn[1:].reshape(-1)])
        if hands is not None:
            poses = np.concatenate([poses[:66], hands[frame].reshape(-1), poses[66:75]])
        person = {
            "id": 3, "Rh": [turn[0].tolist()], "Th": [[frame, 1.0, 2.0]], "poses": [poses.tolist()],
            "shapes": [betas.tolist()], "expression": [[0.0] * 10],
        }  # fmt: skip
        (folder / f"{frame:06d}.json").write_text(json.dumps([{"id": 0}, person]))
    return folder


def test_exavatar_is_the_model_in_its_own_terms(
    opened: OpenedSmplx, turns: np.ndarray, tmp_path: Path
) -> None:
    path = write_exavatar(tmp_path / "smplx_params", turns)
    shape, pose = tracked_person(path, opened)
    found = opened.body.pose(opened.body.rest(shape), pose).verts
    places = torch.tensor([[frame, 1.0, 2.0] for frame in range(4)])
    given = SmplxPose(torch.from_numpy(turns).float(), places, torch.zeros(4, 10))
    expected = smplx_vertices(opened.model, torch.zeros(10), given)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("components", [False, True])
def test_easymocap_turns_about_the_origin(
    opened: OpenedSmplx, turns: np.ndarray, tmp_path: Path, components: bool
) -> None:
    """Its layer poses without the root's turn, then turns all vertices about the origin and moves them."""
    rng = np.random.default_rng(2)
    betas, hands = rng.normal(size=10), rng.normal(size=(4, 2, 6)) if components else None
    path = write_easymocap(tmp_path / "smpl", turns, hands, betas)
    shape, pose = tracked_person(path, opened, person=3)
    found = opened.body.pose(opened.body.rest(shape), pose).verts.double().numpy()
    inside = torch.from_numpy(turns).float()
    inside[:, 0] = 0
    model = opened.model
    if hands is not None:
        for hand in (0, 1):
            whole = (
                torch.from_numpy(hands[:, hand]).float() @ model.hand_components[hand, :6]
                + model.hand_means[hand]
            )
            inside[:, 25 + 15 * hand : 40 + 15 * hand] = whole.reshape(4, 15, 3)
    at_origin = SmplxPose(inside, torch.zeros(4, 3), torch.zeros(4, 10))
    verts = smplx_vertices(model, torch.from_numpy(betas).float(), at_origin).double().numpy()
    for frame in range(4):
        expected = Rotation.from_rotvec(turns[frame, 0]).apply(verts[frame]) + np.array([frame, 1.0, 2.0])
        assert np.abs(found[frame] - expected).max() < 2e-5


def test_vhap_turns_neck_head_jaw_and_eyes(opened: OpenedSmplx, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    parts = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "expr": 100, "translation": 3}
    arrays = {name: 0.2 * rng.normal(size=(5, size)).astype(np.float32) for name, size in parts.items()}
    path = tmp_path / "tracked_flame_params_30.npz"
    np.savez(
        path, **arrays, shape=np.zeros(300), static_offset=np.zeros((1, 5143, 3)), timestep_id=np.arange(5)
    )
    track = load_track(path)
    for joint, name in ((12, "rotation"), (15, "neck_pose"), (22, "jaw_pose")):
        assert np.abs(track.rotations[:, joint] - arrays[name]).max() < 1e-7
    assert np.abs(track.rotations[:, 23:25].reshape(5, 6) - arrays["eyes_pose"]).max() < 1e-7
    assert not track.rotations[:, :12].any()
    _, pose = tracked_person(path, opened)
    gained = pose.expression[:, 0::2] - pose.expression[:, 1::2]
    torch.testing.assert_close(3 * gained, torch.from_numpy(arrays["expr"][:, :10]), atol=1e-6, rtol=0)
    motion, said = load_motion(path)
    assert len(motion) == 5
    assert said.startswith("of VHAP")


def test_they_are_motions_for_any_body(turns: np.ndarray, tmp_path: Path) -> None:
    motion, said = load_motion(write_exavatar(tmp_path / "params", turns))
    assert len(motion) == 4
    assert "30 frames a second" in said
    hands = np.zeros((4, 2, 6))
    other = load_track(write_easymocap(tmp_path / "smpl", turns, hands, np.zeros(10)), person=3)
    assert other.hand_components is not None
    with pytest.raises(InputError, match="in no frame"):
        load_track(tmp_path / "smpl", person=7)


@pytest.mark.parametrize(
    "said", ["{", "[1, 2]", '{"root_pose": [0, 0]}', '[{"id": 0, "Rh": [0, 0, 0], "poses": [1]}]']
)
def test_damaged_files_are_refused(said: str, tmp_path: Path) -> None:
    (tmp_path / "0.json").write_text(said)
    with pytest.raises(InputError):
        load_track(tmp_path)


def test_people_change_between_the_bodies_by_millimetres(opened: OpenedSmplx, body: BodyModel) -> None:
    """The made-up model's ten directions of shape are few: what is left is their want, and the corrections' noise."""
    shape, pose = made_people(body, 2)
    there = convert(body, shape, pose, opened.body, opened.correspondence.on_default)
    back = convert(opened.body, there.shape, there.pose, body, opened.correspondence.on_foreign)
    assert float(there.error_mm.mean()) < 5
    assert float(back.error_mm.mean()) < 4
    start = body.pose(body.rest(shape), pose).verts
    again = (body.pose(body.rest(back.shape), back.pose).verts - start).norm(dim=-1)
    neutral = (body.pose(body.rest(body.neutral_shape()), pose).verts - start).norm(dim=-1)
    assert 1000 * float(again.mean()) < 4 < 1000 * float(neutral.mean())


def test_detectors_points_are_where_they_are_on_our_body(opened: OpenedSmplx, body: BodyModel) -> None:
    shape, pose = made_people(body, 1)
    there = convert(body, shape, pose, opened.body, opened.correspondence.on_default)
    for name, most in (("pose33", 6), ("hand21_left", 4), ("face478", 5)):
        ours = body.keypoints_at(name, body.rest(shape), pose)
        theirs = opened.body.keypoints_at(name, opened.body.rest(there.shape), there.pose)
        assert 1000 * float((ours - theirs).norm(dim=-1).mean()) < most
    assert opened.correspondence.gap_m < 1.5e-3
    corners = opened.body.faces[opened.correspondence.on_foreign.faces]
    # All but what lies inside the mouth and under the eyes, which lies on nothing, and some borders.
    assert float((opened.body.part_labels[corners] == body.part_labels[:, None]).any(1).float().mean()) > 0.9


def test_a_body_is_opened_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIMULACRA_SMPLX", str(folder))
    assert "jaw" in open_body("smplx").bone_names
    assert "jaw" not in open_body("anny").bone_names
    monkeypatch.delenv("SIMULACRA_SMPLX")
    monkeypatch.setenv("SIMULACRA_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="its files are nowhere"):
        open_body("smplx")
    remember_folder(folder)
    assert (tmp_path / "body" / "smplx.json").exists()
    assert body_name_of({"config": {"fit": {"body": "smplx"}}}) == "smplx"
    assert body_name_of({"config": None}) == "anny"
