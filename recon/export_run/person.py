"""The person as a mesh for other programs: its texture painted from the training views, what is not known marked."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from simulacra.recon.avatar.finished import FinishedAvatar
from simulacra.recon.avatar.guesses import unseen_faces
from simulacra.recon.export_run.asked import Posed, numbered
from simulacra.recon.runs.progress import track
from simulacra.recon.texture import bake_texture, training_photographs
from simulacra.render.body import BodyModel
from simulacra.render.export.gltf_person import write_person_glb
from simulacra.render.export.obj import write_obj
from simulacra.render.export.person_mesh import Person
from simulacra.render.export.usd import write_usd
from simulacra.render.mesh_avatar import MeshAvatar
from simulacra.render.skinned_mesh import body_with_mesh
from simulacra.render.unseen import GRAY, Unseen, gray_texels, seen_triangles

MESHES = ("glb", "obj", "usd")
JPEG_QUALITY = 92


def textured_person(
    run: Path,
    avatar: FinishedAvatar,
    texture_size: int,
    session_at: Path | None = None,
    unseen: Unseen = "keep",
) -> Person:
    """The person of a run, with a texture of that many rows and columns; of 0 without one.

    Args:
        unseen: how triangles of the body's own mesh are shown that no photograph shows; a mesh avatar was told before
            (`FinishedAvatar.showing`).

    Raises:
        RunError: the session, from which the texture is painted, has gone or is another.
        InputError: a file of it is missing or damaged.
    """
    if avatar.mesh is not None:
        return _mesh_person(avatar, avatar.mesh, texture_size)
    photographs = training_photographs(run, avatar, session_at) if texture_size else ()
    if not photographs:
        body = avatar.body
        known = (
            None if avatar.fit.seen is None else torch.from_numpy(avatar.fit.seen.any(0))[body.faces].all(1)
        )
        if unseen == "drop" and known is not None:
            body = _with_triangles(body, known)
        return Person(body, avatar.rig.rest)
    baked = bake_texture(avatar.body, avatar.rig.rest.verts, photographs, texture_size)
    notes = {
        "texture": f"{baked.seen_share:.0%} of the surface is seen in {len(photographs)} photographs; the rest is "
        "continued from what is around (_SEEN = 0)"
    }
    body, rgb, seen = avatar.body, baked.rgb, torch.from_numpy(baked.seen)
    if avatar.fit.seen is not None:
        seen = seen & ~unseen_faces(body, avatar.fit.seen)
    if unseen == "neutral":
        gray = gray_texels(body.uvs, body.face_uvs, seen, rgb.shape[:2]).numpy()
        rgb = np.where(gray[..., None], np.uint8(round(255 * GRAY)), rgb)
    elif unseen == "drop":
        body, seen = _with_triangles(body, seen), seen[seen]
    return Person(body, avatar.rig.rest, _jpeg(Image.fromarray(rgb)), seen.numpy(), notes)


def _with_triangles(body: BodyModel, kept: Bool[Tensor, "f"]) -> BodyModel:
    """The body with some of its triangles; its vertices stay."""
    return replace(body, faces=body.faces[kept], face_uvs=body.face_uvs[kept])


def _mesh_person(avatar: FinishedAvatar, mesh: MeshAvatar, texture_size: int) -> Person:
    """A mesh avatar as it was trained; its own texture, at the size asked for."""
    body, rest = body_with_mesh(avatar.body, mesh.mesh, avatar.rig)
    if not texture_size:
        return Person(body, rest)
    trained = mesh.paint.tensors()["texture"].clamp(0, 1)
    picture = Image.fromarray((255 * trained).round().byte().numpy())
    if picture.size != (texture_size, texture_size):
        picture = picture.resize((texture_size, texture_size), Image.Resampling.LANCZOS)
    known = seen_triangles(mesh)
    if known is None:
        return Person(body, rest, _jpeg(picture))
    seen = known.numpy()
    notes = {
        "texture": f"{seen.mean():.0%} of the triangles were seen in training views (_SEEN = 0 elsewhere)"
    }
    return Person(body, rest, _jpeg(picture), seen, notes)


def _jpeg(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    return content.getvalue()


def write_person(out: Path, person: Person, poses: Posed, to: str) -> list[Path]:
    """Writes a mesh: with its motion (glb, usd), or one for each pose (obj), numbered where they are several.

    Args:
        to: one of `MESHES`.

    Returns:
        All files, the mesh first.

    Raises:
        MissingExtraError: usd-core is not installed.
    """
    motion = poses.pose if poses.numbers else None
    if to == "glb":
        write_person_glb(out, person, motion, poses.fps)
        return [out]
    if to == "usd":
        return write_usd(out, person, motion, poses.fps)
    files: list[Path] = []
    names = numbered(out, poses)
    for name, pose in zip(names, track(poses, "writing", len(poses)), strict=True):
        files += write_obj(name, person, person.body.pose(person.rest, pose).verts[0])
    return files
