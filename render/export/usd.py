"""A person as USD: skinned mesh, skeleton, a motion, facial actions as blend shapes, texture (needs usd-core).

Metres, +Y up. One self-contained file but for the picture, which lies beside it as `NAME.jpg`; a .usdz holds it too.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.render.body import BodyPose
from simulacra.render.export.person_mesh import (
    Person,
    bones_to_parents,
    four_bones,
    local_motion,
    rest_normals,
    seamed_mesh,
)
from simulacra.render.runtime.errors import MissingExtraError
from simulacra.render.runtime.whole_files import sync, whole_file


def write_usd(path: Path, person: Person, pose: BodyPose | None = None, fps: float = 30.0) -> list[Path]:
    """Writes .usd, .usda, .usdc or .usdz.

    Args:
        pose: a motion, `t` frames; none without.
        fps: frames a second.

    Returns:
        All files, the scene first.

    Raises:
        MissingExtraError: usd-core is not installed.
    """
    try:
        from pxr import Sdf, Usd, UsdUtils
    except ImportError as error:
        raise MissingExtraError(
            "USD is written by usd-core, which is not installed", remedy="pip install 'simulacra[usd]'"
        ) from error
    packed = path.suffix.lower() == ".usdz"
    picture = path.with_suffix(".jpg")
    with tempfile.TemporaryDirectory() as work:
        made = Path(work) / (f"{path.stem}.usdc" if packed else path.name)
        if person.texture is not None:
            (made.parent / picture.name).write_bytes(person.texture)
        stage = Usd.Stage.CreateNew(str(made))
        _fill(stage, person, picture.name, pose, fps)
        stage.GetRootLayer().Save()
        del stage
        if packed:
            whole = made.with_suffix(".usdz")
            if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(made)), str(whole)):
                raise RuntimeError(f"usd-core packed no {path}")
            made = whole
        _write(path, made.read_bytes())
    if packed or person.texture is None:
        return [path]
    _write(picture, person.texture)
    return [path, picture]


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as stream:
        stream.write(content)
    sync(path.parent)


def _fill(stage: Any, person: Person, picture: str, pose: BodyPose | None, fps: float) -> None:
    from pxr import UsdGeom, UsdSkel

    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdSkel.Root.Define(stage, "/person")
    stage.SetDefaultPrim(root.GetPrim())
    for name, said in person.notes.items():
        root.GetPrim().SetCustomDataByKey(name, said)
    _add_mesh(stage, person)
    _add_skeleton(stage, person)
    if person.texture is not None:
        _add_material(stage, picture)
    if pose is not None and len(pose.translation):
        _add_motion(stage, person, pose, fps)


def bone_paths(person: Person) -> list[str]:
    """USD's names of bones: from the root down, letters and digits only."""
    paths: list[str] = []
    for name, parent in zip(person.body.bone_names, person.body.bone_parents.tolist(), strict=True):
        word = name.replace(".", "_").replace("-", "_")
        paths.append(word if parent < 0 else f"{paths[parent]}/{word}")
    return paths


def _add_mesh(stage: Any, person: Person) -> None:
    from pxr import Sdf, UsdGeom, UsdSkel, Vt

    body, cut = person.body, seamed_mesh(person.body)
    mesh = UsdGeom.Mesh.Define(stage, "/person/body")
    mesh.CreateSubdivisionSchemeAttr("none")
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(person.rest.verts.numpy()[cut.vertices]))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(rest_normals(person)[cut.vertices].astype(np.float32)))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(cut.faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(cut.faces.astype(np.int32).ravel()))
    uvs = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
        "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex
    )
    uvs.Set(Vt.Vec2fArray.FromNumpy(cut.uvs.astype(np.float32)))
    bones, weights = four_bones(body)
    skin = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    skin.CreateJointIndicesPrimvar(False, bones.shape[1]).Set(
        Vt.IntArray.FromNumpy(bones[cut.vertices].astype(np.int32).ravel())
    )
    skin.CreateJointWeightsPrimvar(False, bones.shape[1]).Set(
        Vt.FloatArray.FromNumpy(weights[cut.vertices].astype(np.float32).ravel())
    )
    skin.CreateSkeletonRel().SetTargets(["/person/skeleton"])
    offsets = body.expressions.offsets.reshape(len(body.expression_names), -1, 3).numpy()
    slots = np.full(body.n_verts, -1)
    slots[body.expressions.vertices.numpy()] = np.arange(offsets.shape[1])
    rows = np.flatnonzero(slots[cut.vertices] >= 0)
    for name, offset in zip(body.expression_names, offsets, strict=True):
        shape = UsdSkel.BlendShape.Define(stage, f"/person/body/{name}")
        shape.CreateOffsetsAttr(Vt.Vec3fArray.FromNumpy(offset[slots[cut.vertices[rows]]].astype(np.float32)))
        shape.CreatePointIndicesAttr(Vt.IntArray.FromNumpy(rows.astype(np.int32)))
    skin.CreateBlendShapesAttr(list(body.expression_names))
    skin.CreateBlendShapeTargetsRel().SetTargets([f"/person/body/{name}" for name in body.expression_names])


def _add_skeleton(stage: Any, person: Person) -> None:
    from pxr import UsdSkel, Vt

    skeleton = UsdSkel.Skeleton.Define(stage, "/person/skeleton")
    skeleton.CreateJointsAttr(bone_paths(person))
    bind = person.rest.T_world_bone.double()
    local = bones_to_parents(person.body, bind)
    # USD multiplies rows from the left.
    for create, matrices in (
        (skeleton.CreateBindTransformsAttr, bind),
        (skeleton.CreateRestTransformsAttr, local),
    ):
        create(Vt.Matrix4dArray.FromNumpy(np.ascontiguousarray(matrices.numpy().transpose(0, 2, 1))))


def _add_material(stage: Any, picture: str) -> None:
    from pxr import Sdf, UsdShade

    material = UsdShade.Material.Define(stage, "/person/material")
    surface = UsdShade.Shader.Define(stage, "/person/material/surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(1.0)
    reader = UsdShade.Shader.Define(stage, "/person/material/coordinates")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    texture = UsdShade.Shader.Define(stage, "/person/material/picture")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(f"./{picture}")
    texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    coordinates = reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(coordinates)
    color = texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(color)
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    UsdShade.MaterialBindingAPI.Apply(stage.GetPrimAtPath("/person/body")).Bind(material)


def _add_motion(stage: Any, person: Person, pose: BodyPose, fps: float) -> None:
    from pxr import UsdSkel, Vt

    turns, places = local_motion(person, pose)
    stage.SetTimeCodesPerSecond(fps)
    stage.SetFramesPerSecond(fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(len(turns) - 1)
    motion = UsdSkel.Animation.Define(stage, "/person/motion")
    motion.CreateJointsAttr(bone_paths(person))
    motion.CreateBlendShapesAttr(list(person.body.expression_names))
    rest = bones_to_parents(person.body, person.rest.T_world_bone)[:, :3, 3].numpy()
    motion.CreateScalesAttr(Vt.Vec3hArray.FromNumpy(np.ones((turns.shape[1], 3), np.float16)))
    moved, turned = motion.CreateTranslationsAttr(), motion.CreateRotationsAttr()
    weights = motion.CreateBlendShapeWeightsAttr()
    acted = pose.expression.detach().float().numpy().clip(0, 1)
    for frame, (turn, place) in enumerate(zip(turns, places, strict=True)):
        moved.Set(Vt.Vec3fArray.FromNumpy(np.concatenate([place[None], rest[1:]])), frame)
        turned.Set(Vt.QuatfArray.FromNumpy(np.ascontiguousarray(turn)), frame)  # xyzw in memory
        weights.Set(Vt.FloatArray.FromNumpy(acted[frame]), frame)
    skin = UsdSkel.BindingAPI.Apply(stage.GetPrimAtPath("/person/skeleton"))
    skin.CreateAnimationSourceRel().SetTargets(["/person/motion"])
