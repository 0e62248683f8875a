"""What is known of a virtual capture beyond what its sensors recorded: the files of a session's folder `truth`.

    truth/truth.json             the whole setting; cameras as they truly are; when each looked; joints' names
    truth/surface.npz            triangles of the clothed surface, and which layer (skin, hair, top ...) each is of
    truth/frames/FRAME.npz       posed body, joints, pose, and the clothed surface's vertices
    truth/depth/CAM/FRAME.png    uint16, tenths of a millimetre along the axis, 0 where nobody is
    truth/normals/CAM/FRAME.png  of the person in the world, (n + 1) / 2 in 8 bits
    truth/masks/CAM/FRAME.png    how much of a pixel the person covers
    truth/visible/CAM/FRAME.npy  one bit for each vertex of the clothed surface
    truth/companions/N/frames/   likewise of others in view; depth, normals, masks and visibility are the person's alone

Frames are at the rig's own time, and pictures at their camera's (`lags` says how much later); pictures are of the true
pinhole camera. Only an evaluation reads them: nothing that is fitted may.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from simulacra.recon.runs.files import disk_errors
from simulacra.recon.runs.records import check_arrays, read_arrays
from simulacra.recon.session.fingerprint import hash_files
from simulacra.recon.session.record import Session
from simulacra.recon.session.reference import DAMAGE
from simulacra.render.image import read_image, read_mask, read_uint16
from simulacra.render.runtime.errors import InputError

TRUTH_FOLDER = "truth"
COMPANIONS_FOLDER = "companions"
FACTS_FILE = "truth.json"
TRUTH_ENDINGS = (".json", ".npz", ".npy", ".png")
SCHEMA = 1
DEPTH_UNITS = 10_000.0  # of the depth files in a metre
POSITION_UNITS = 10_000.0  # of the vertices in a metre
# Points further from the origin than this do not fit the files' 16 bits.
LARGEST = 32767 / POSITION_UNITS


@dataclass(frozen=True)
class TrueFrame:
    """A person as they were at one moment of the rig's time, world, metres.

    Attributes:
        body: vertices of the naked body model.
        joints: heads of its bones.
        surface: vertices of what can be seen: skin, hair and clothes.
        rotations: of the body model; see `render.body.BodyPose`.
        translation: likewise.
        expression: likewise.
    """

    body: Float[np.ndarray, "v 3"]
    joints: Float[np.ndarray, "j 3"]
    surface: Float[np.ndarray, "n 3"]
    rotations: Float[np.ndarray, "j 3"]
    translation: Float[np.ndarray, "3"]
    expression: Float[np.ndarray, " e"]


@dataclass(frozen=True)
class TrueView:
    """What one camera would have seen with no fault of its own, over its pinhole pixels.

    Attributes:
        depth: of the person, metres along the axis; 0 where nobody is.
        mask: coverage, 0 to 1.
        normals: world, unit.
        visible: which vertices of the clothed surface.
    """

    depth: Float[np.ndarray, "h w"]
    mask: Float[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    visible: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class TrueCamera:
    """A camera as it truly is. `lag`: seconds that it looks after the rig's clock."""

    K: Float[np.ndarray, "3 3"]
    viewmat: Float[np.ndarray, "4 4"]
    lag: float


@dataclass(frozen=True)
class Truth:
    """Of a whole session; frames and views are read one at a time.

    Attributes:
        phenotypes: the person's shape; see `render.body.BodyShape`.
        local_changes: likewise.
        faces: triangles of the clothed surface.
        layer_of_face: which layer each is of.
        layers: their names.
    """

    root: Path
    cameras: Mapping[str, TrueCamera]
    phenotypes: Float[np.ndarray, " p"]
    local_changes: Float[np.ndarray, " l"]
    joint_names: tuple[str, ...]
    faces: Int[np.ndarray, "f 3"]
    layer_of_face: Int[np.ndarray, " f"]
    layers: tuple[str, ...]
    facts: Mapping[str, Any]

    def frame(self, index: int) -> TrueFrame:
        """The person at a frame.

        Raises:
            InputError: the file is missing or damaged.
        """
        path = self.root / "frames" / f"{index:06d}.npz"
        try:
            arrays = read_arrays(path)
            arrays["surface"] = arrays["surface"].astype(np.float32) / POSITION_UNITS
            check_arrays(TrueFrame, arrays)
            return TrueFrame(**arrays)
        except DAMAGE as error:
            raise InputError("a frame's truth cannot be read", where=path, found=error) from error

    def view(self, index: int, camera: str) -> TrueView | None:
        """What a camera truly saw, or None where it recorded nothing.

        Raises:
            InputError: a file is missing or damaged.
        """
        name = f"{camera}/{index:06d}"
        if not (self.root / f"depth/{name}.png").is_file():
            return None
        depth = read_uint16(self.root / f"depth/{name}.png").astype(np.float32) / np.float32(DEPTH_UNITS)
        unit = 2 * read_image(self.root / f"normals/{name}.png") - 1
        mask = read_mask(self.root / f"masks/{name}.png")
        try:
            with (self.root / f"visible/{name}.npy").open("rb") as stream:
                bits = np.load(stream, allow_pickle=False)
            visible = np.unpackbits(bits, count=int(self.faces.max()) + 1).astype(bool)
            check_arrays(TrueView, {"depth": depth, "mask": mask, "normals": unit, "visible": visible})
        except DAMAGE as error:
            raise InputError(
                "what a camera truly saw cannot be read",
                where=self.root / f"visible/{name}.npy",
                found=str(error)[:120],
            ) from error
        unit /= np.maximum(np.linalg.norm(unit, axis=-1, keepdims=True), 1e-6)
        unit[depth == 0] = 0
        return TrueView(depth, mask, unit, visible)


def truth_names(session: Session) -> list[str]:
    """The files of the truth below the session, in order; none of a real one.

    Raises:
        InputError: a link in it leads out of the session, or is of a folder.
    """
    names = []
    for path in sorted([session.root / TRUTH_FOLDER, *(session.root / TRUTH_FOLDER).rglob("*")]):
        name = path.relative_to(session.root).as_posix()
        if path.is_symlink() and session.path(name).is_dir():
            raise InputError("a folder of a session's truth is a link", where=path)
        if path.suffix in TRUTH_ENDINGS:
            names.append(name)
    return names


def evidence_fingerprint(session: Session) -> str:
    """sha256 over what only an evaluation reads: the reference and the truth.

    Raises:
        InputError: a file leads out of the session, or may not be read.
    """
    names = truth_names(session) + ([] if session.reference is None else [session.reference])
    described = [session.reference, session.about.get("reference"), hash_files(session, names)]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def read_truth(session: Session) -> Truth | None:
    """What is known of a virtual session; None of a real one.

    Raises:
        InputError: the description is damaged, or of another version; a link leads out of the session.
    """
    root = session.root / TRUTH_FOLDER
    path = root / FACTS_FILE
    if not path.is_file():
        return None
    truth_names(session)
    try:
        facts = json.loads(path.read_bytes())
        if facts["schema"] != SCHEMA:
            raise InputError(
                "a truth is of another version", where=path, expected=SCHEMA, found=facts["schema"]
            )
        cameras = {
            name: TrueCamera(np.array(c["K"], float), np.array(c["viewmat"], float), float(c["lag"]))
            for name, c in facts["cameras"].items()
        }
        surface = {name: array.astype(np.int64) for name, array in read_arrays(root / "surface.npz").items()}
        check_arrays(Truth, surface)
        return Truth(
            root,
            cameras,
            np.array(facts["person"]["phenotypes"], np.float32),
            np.array(facts["person"]["local_changes"], np.float32),
            tuple(facts["joint_names"]),
            surface["faces"],
            surface["layer_of_face"],
            tuple(facts["layers"]),
            facts,
        )
    except (*DAMAGE, AttributeError) as error:
        raise InputError("a session's truth cannot be read", where=path, found=repr(error)[:120]) from error


def write_true_facts(
    root: Path,
    cameras: Mapping[str, TrueCamera],
    person: tuple[Float[np.ndarray, " p"], Float[np.ndarray, " l"]],
    joint_names: tuple[str, ...],
    surface: tuple[Int[np.ndarray, "f 3"], Int[np.ndarray, " f"], tuple[str, ...]],
    setting: Mapping[str, Any],
) -> None:
    """Writes truth.json and surface.npz.

    Args:
        root: the folder `truth` of the session.
        cameras: by name.
        person: phenotypes and local changes of the shape.
        joint_names: of the bones whose heads the frames hold.
        surface: triangles, layer of each, names of the layers.
        setting: whatever else is known, as JSON.
    """
    faces, layer_of_face, layers = surface
    root.mkdir(parents=True, exist_ok=True)
    facts = {
        "schema": SCHEMA,
        "cameras": {
            name: {"K": c.K.tolist(), "viewmat": c.viewmat.tolist(), "lag": c.lag}
            for name, c in cameras.items()
        },
        "person": {"phenotypes": person[0].tolist(), "local_changes": person[1].tolist()},
        "joint_names": list(joint_names),
        "layers": list(layers),
        "setting": dict(setting),
    }
    with disk_errors(root):
        (root / FACTS_FILE).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
        np.savez(
            root / "surface.npz", faces=faces.astype(np.int32), layer_of_face=layer_of_face.astype(np.int8)
        )


def write_true_frame(root: Path, index: int, frame: TrueFrame) -> None:
    """Writes one moment; the surface to a tenth of a millimetre.

    Raises:
        ValueError: the surface reaches further from the origin than the file can say.
    """
    if np.abs(frame.surface).max() > LARGEST:
        raise ValueError(f"the surface reaches beyond {LARGEST:.2f} m from the origin")
    folder = root / "frames"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(
            folder / f"{index:06d}.npz",
            body=frame.body.astype(np.float32),
            joints=frame.joints.astype(np.float32),
            surface=np.rint(frame.surface * POSITION_UNITS).astype(np.int16),
            rotations=frame.rotations,
            translation=frame.translation,
            expression=frame.expression,
        )


def write_true_view(root: Path, index: int, camera: str, view: TrueView) -> None:
    """Writes what one camera truly saw."""
    pictures = {
        "depth": np.clip(view.depth * DEPTH_UNITS + 0.5, 0, 65535).astype(np.uint16),
        "normals": (np.clip(view.normals[..., ::-1] * 0.5 + 0.5, 0, 1) * 255 + 0.5).astype(np.uint8),
        "masks": (np.clip(view.mask, 0, 1) * 255 + 0.5).astype(np.uint8),
    }
    with disk_errors(root):
        for kind, pixels in pictures.items():
            path = root / kind / camera / f"{index:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())
        path = root / "visible" / camera / f"{index:06d}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        visible = io.BytesIO()  # np.save names no cause where it cannot write to a file
        np.save(visible, np.packbits(view.visible))
        path.write_bytes(visible.getvalue())
