"""A person as glTF, OBJ and USD: other programs find the same bones, skin and faces."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from simulacra.render.body import BodyModel, BodyPose
from simulacra.render.export.gltf_person import write_person_glb
from simulacra.render.export.obj import write_obj
from simulacra.render.export.person_mesh import Person, seamed_mesh
from simulacra.render.export.usd import write_usd
from simulacra.tools.bench.read_back import glb_array, glb_parts
from tests.node_programs import run_node

FRAMES = 5
FPS = 24.0
# Metres: what an independent reader's joints may be off.
JOINTS_AGREE = 1e-4


@pytest.fixture(scope="module")
def person(body: BodyModel) -> Person:
    shape = body.neutral_shape()
    shape.local_changes[3] = 0.7
    picture = io.BytesIO()
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[:, None, None], (1, 64, 3))).save(picture, "JPEG")
    seen = np.ones(len(body.faces), bool)
    seen[:100] = False
    return Person(body, body.rest(shape), picture.getvalue(), seen, {"unseen": "some"})


@pytest.fixture(scope="module")
def pose(body: BodyModel) -> BodyPose:
    """Every bone turned, the last frame by more than half a turn at the root; the jaw opens."""
    generator = torch.Generator().manual_seed(1)
    still = body.zero_pose(FRAMES)
    rotations = 0.25 * torch.randn(still.rotations.shape, generator=generator)
    rotations[:, 0, 1] = torch.linspace(0, 4.0, FRAMES)
    translation = torch.randn(FRAMES, 3, generator=generator)
    still.expression[:, body.expression_names.index("jawOpen")] = torch.linspace(0, 1, FRAMES)
    return BodyPose(rotations, translation, still.expression)


@pytest.fixture(scope="module")
def glb(person: Person, pose: BodyPose, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("glb") / "a.glb"
    write_person_glb(path, person, pose, FPS)
    return path


def test_another_reader_finds_the_same_mesh(glb: Path, person: Person, tmp_path: Path) -> None:
    """trimesh on the GLB's rest pose and on the OBJ: places, corners of faces, texture coordinates, picture."""
    verts = person.body.pose(person.rest, person.body.zero_pose(1)).verts[0]
    files = {"glb": glb, "obj": write_obj(tmp_path / "a.obj", person, verts)[0]}
    for kind, path in files.items():
        mesh = trimesh.load(path, process=False, force="mesh")
        corners = np.asarray(mesh.vertices)[np.asarray(mesh.faces)]
        own = person.rest.verts if kind == "glb" else verts
        np.testing.assert_allclose(corners, own.numpy()[person.body.faces.numpy()], atol=2e-6)
        uvs = np.asarray(mesh.visual.uv)[np.asarray(mesh.faces)]
        np.testing.assert_allclose(uvs, person.body.uvs.numpy()[person.body.face_uvs.numpy()], atol=2e-6)
        material = mesh.visual.material
        picture = material.baseColorTexture if kind == "glb" else material.image
        assert picture is not None and picture.size == (64, 64)


def as_matrix(place: np.ndarray, quat: np.ndarray) -> np.ndarray:
    x, y, z, w = quat
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = place
    return matrix


def worlds(document: dict[str, Any], block: bytes, frame: int | None) -> np.ndarray:
    """Frames of all joints as the format says; at rest for None."""
    nodes = document["nodes"]
    places = {k: np.array(node["translation"]) for k, node in enumerate(nodes) if "translation" in node}
    turns = {k: np.array(node["rotation"]) for k, node in enumerate(nodes) if "rotation" in node}
    if frame is not None:
        animation = document["animations"][0]
        for channel in animation["channels"]:
            values = glb_array(document, block, animation["samplers"][channel["sampler"]]["output"])
            target, path = channel["target"]["node"], channel["target"]["path"]
            if path != "weights":
                (places if path == "translation" else turns)[target] = values[frame]
    found = np.zeros((len(places), 4, 4))

    def walk(node: int, above: np.ndarray) -> None:
        found[node] = above @ as_matrix(places[node], turns[node])
        for child in nodes[node].get("children", []):
            walk(child, found[node])

    walk(0, np.eye(4))
    return found


@pytest.mark.parametrize("frame", [None, 0, FRAMES - 1])
def test_joints_are_ours(glb: Path, person: Person, pose: BodyPose, frame: int | None) -> None:
    document, block = glb_parts(glb)
    found = worlds(document, block, frame)
    wanted = person.rest.T_world_bone
    if frame is not None:
        wanted = person.body.pose(person.rest, pose).T_world_bone[frame]
    assert np.abs(found[:, :3, 3] - wanted[:, :3, 3].numpy()).max() < JOINTS_AGREE
    np.testing.assert_allclose(found[:, :3, :3], wanted[:, :3, :3].numpy(), atol=1e-5)


def test_the_skinned_mesh_is_ours_but_for_weak_bones(glb: Path, person: Person, pose: BodyPose) -> None:
    """Four bones a vertex of up to nine: a millimetre on the mean of a wildly turned body."""
    document, block = glb_parts(glb)
    primitive = document["meshes"][0]["primitives"][0]

    def attribute(name: str) -> np.ndarray:
        return glb_array(document, block, primitive["attributes"][name])

    inverse = glb_array(document, block, document["skins"][0]["inverseBindMatrices"])
    matrices = worlds(document, block, 2) @ inverse.reshape(-1, 4, 4).transpose(0, 2, 1)
    weights, joints = attribute("WEIGHTS_0"), attribute("JOINTS_0")
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    jaw = document["meshes"][0]["extras"]["targetNames"].index("jawOpen")
    morphs = glb_array(document, block, primitive["targets"][jaw]["POSITION"])
    rest = attribute("POSITION") + 0.5 * morphs
    points = np.einsum(
        "nk,nkij,nj->ni", weights, matrices[joints], np.column_stack([rest, np.ones(len(rest))])
    )
    ours = person.body.pose(person.rest, pose).verts[2].numpy()[seamed_mesh(person.body).vertices]
    off = np.linalg.norm(points[:, :3] - ours, axis=1)
    assert off.mean() < 1e-3 and np.median(off) < 1e-4
    shut = np.linalg.norm(
        points[:, :3]
        - np.einsum(
            "nk,nkij,nj->ni",
            weights,
            matrices[joints],
            np.column_stack([attribute("POSITION"), np.ones(len(rest))]),
        )[:, :3],
        axis=1,
    )
    assert shut.max() > 5e-3  # the jaw would be seen to be shut


def test_all_52_actions_have_arkits_names(glb: Path) -> None:
    document, _ = glb_parts(glb)
    mesh = document["meshes"][0]
    names = mesh["extras"]["targetNames"]
    assert len(names) == len(set(names)) == len(mesh["primitives"][0]["targets"]) == 52
    assert {"jawOpen", "eyeBlinkLeft", "mouthSmileRight", "tongueOut", "browInnerUp"} <= set(names)


def test_texture_and_marks_are_there(glb: Path, person: Person) -> None:
    document, block = glb_parts(glb)
    view = document["bufferViews"][document["images"][0]["bufferView"]]
    assert block[view["byteOffset"] :][: view["byteLength"]] == person.texture
    primitive = document["meshes"][0]["primitives"][0]
    seen = glb_array(document, block, primitive["attributes"]["_SEEN"])
    assert set(seen.tolist()) == {0.0, 1.0} and 5 < (seen == 0).sum() < 200
    assert document["meshes"][0]["extras"]["unseen"] == "some"
    # The picture's first row is v = 0 there, and v = 1 here.
    uvs = glb_array(document, block, primitive["attributes"]["TEXCOORD_0"])
    np.testing.assert_allclose(1 - uvs[:, 1], seamed_mesh(person.body).uvs[:, 1], atol=1e-6)


def test_the_validator_finds_nothing(glb: Path, tmp_path: Path) -> None:
    program = """
    import { readFileSync } from 'fs';
    import validator from 'gltf-validator';
    const report = await validator.validateBytes(new Uint8Array(readFileSync(process.argv[2])));
    console.log(JSON.stringify(report.issues));
    """
    issues = run_node(program, tmp_path, "gltf-validator", words=(str(glb),))
    assert issues["numErrors"] == issues["numWarnings"] == 0, issues["messages"][:5]


def test_the_validator_knows_splats_but_not_their_extension(tmp_path: Path) -> None:
    """Exactly its four messages about names with a colon, and one that the extension is new."""
    from simulacra.render.export.gltf_splats import write_splat_glb
    from tests.render.export.test_splats import some

    write_splat_glb(tmp_path / "a.glb", some())
    program = """
    import { readFileSync } from 'fs';
    import validator from 'gltf-validator';
    const report = await validator.validateBytes(new Uint8Array(readFileSync(process.argv[2])));
    console.log(JSON.stringify(report.issues.messages.map(m => m.code)));
    """
    codes = run_node(program, tmp_path, "gltf-validator", words=(str(tmp_path / "a.glb"),))
    assert sorted(codes) == ["MESH_PRIMITIVE_INVALID_ATTRIBUTE"] * 4 + ["UNSUPPORTED_EXTENSION"]


def test_three_finds_the_same_joints(person: Person, pose: BodyPose, tmp_path: Path) -> None:
    """Without a picture, which node cannot decode."""
    bare = Person(person.body, person.rest)
    write_person_glb(tmp_path / "a.glb", bare, pose, FPS)
    program = """
    import { readFileSync } from 'fs';
    import { AnimationMixer } from 'three';
    import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
    globalThis.self = globalThis;
    const bytes = readFileSync(process.argv[2]);
    const whole = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    const gltf = await new GLTFLoader().parseAsync(whole, '');
    const mesh = gltf.scene.getObjectByProperty('isSkinnedMesh', true);
    const mixer = new AnimationMixer(gltf.scene);
    mixer.clipAction(gltf.animations[0]).play();
    mixer.setTime(Number(process.argv[3]));
    gltf.scene.updateMatrixWorld(true);
    const joints = mesh.skeleton.bones.map(b => b.matrixWorld.elements.slice(12, 15));
    console.log(JSON.stringify({ joints, morphs: Object.keys(mesh.morphTargetDictionary), jaw:
      mesh.morphTargetInfluences[mesh.morphTargetDictionary.jawOpen] }));
    """
    found = run_node(program, tmp_path, "three", words=(str(tmp_path / "a.glb"), str(3 / FPS)))
    wanted = person.body.pose(person.rest, pose).T_world_bone[3, :, :3, 3].numpy()
    assert np.abs(np.array(found["joints"]) - wanted).max() < JOINTS_AGREE
    assert found["morphs"] == list(person.body.expression_names) and abs(found["jaw"] - 0.75) < 1e-3


def test_a_person_at_rest_has_no_motion(person: Person, tmp_path: Path) -> None:
    write_person_glb(tmp_path / "a.glb", person)
    assert "animations" not in glb_parts(tmp_path / "a.glb")[0]


def test_glb_is_whole(glb: Path) -> None:
    content = glb.read_bytes()
    assert struct.unpack_from("<III", content) == (0x46546C67, 2, len(content))
    document, _ = glb_parts(glb)
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])
    json.dumps(document, allow_nan=False)


def test_obj_has_places_texture_and_normals(person: Person, pose: BodyPose, tmp_path: Path) -> None:
    verts = person.body.pose(person.rest, pose).verts[1]
    files = write_obj(tmp_path / "my person.obj", person, verts)
    assert [file.name for file in files] == ["my person.obj", "my_person.mtl", "my_person.jpg"]
    rows: dict[str, list[list[str]]] = {}
    for line in files[0].read_text().splitlines():
        kind, *words = line.split()
        rows.setdefault(kind, []).append(words)
    np.testing.assert_allclose(np.array(rows["v"], float), verts.numpy(), atol=1e-6)
    np.testing.assert_allclose(np.array(rows["vt"], float), person.body.uvs.numpy(), atol=1e-6)
    corners = np.array([[word.split("/") for word in face] for face in rows["f"]], int)
    assert np.array_equal(corners[..., 0] - 1, person.body.faces.numpy())
    assert np.array_equal(corners[..., 1] - 1, person.body.face_uvs.numpy())
    assert rows["mtllib"] == [["my_person.mtl"]] and "map_Kd my_person.jpg" in files[1].read_text()
    normals = np.array(rows["vn"], float)
    outward = np.cross(
        *(verts.numpy()[corners[:, k, 0] - 1] - verts.numpy()[corners[:, 0, 0] - 1] for k in (1, 2))
    )
    assert (np.einsum("fi,fi->f", outward, normals[corners[:, 0, 2] - 1]) > 0).mean() > 0.95


@pytest.mark.parametrize("ending", ["usda", "usdz"])
def test_usd_skins_as_we_do(person: Person, pose: BodyPose, tmp_path: Path, ending: str) -> None:
    pxr = pytest.importorskip("pxr", reason="usd-core is not installed (extra usd)")
    from pxr import Usd, UsdGeom, UsdSkel

    files = write_usd(tmp_path / f"a.{ending}", person, pose, FPS)
    assert [file.suffix for file in files] == [f".{ending}", *([] if ending == "usdz" else [".jpg"])]
    stage = pxr.Usd.Stage.Open(str(files[0]))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    skeleton = UsdSkel.Skeleton(stage.GetPrimAtPath("/person/skeleton"))
    cache = UsdSkel.Cache()
    cache.Populate(UsdSkel.Root(stage.GetPrimAtPath("/person")), Usd.TraverseInstanceProxies())
    query = cache.GetSkelQuery(skeleton)
    found = np.array(query.ComputeJointSkelTransforms(Usd.TimeCode(3))).transpose(0, 2, 1)
    wanted = person.body.pose(person.rest, pose).T_world_bone[3].numpy()
    assert np.abs(found[:, :3, 3] - wanted[:, :3, 3]).max() < JOINTS_AGREE
    assert len(list(stage.GetPrimAtPath("/person/body").GetChildren())) == 52
