"""What the player needs to be driven by a visitor's camera: MediaPipe's tasks for browsers, out of the outside files.

The face's task is taken as it is published. The body's is put together here: its two networks are those that
reconstruction uses, in the container that MediaPipe's tasks read (a stored zip), each with the metadata that says how
its input is normalised. A task without them is refused, and with others its landmarks are far off.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from simulacra.render.runtime.assets import asset_path

FOLDER = "live"
METADATA = b"TFLITE_METADATA"
FACE_PARTS = ("face_detector.tflite", "face_landmarks_detector.tflite")
POSE_PARTS = ("pose_detector.tflite", "pose_landmarks_detector.tflite")
BROWSER_PARTS = (
    "vision_bundle.mjs",
    "wasm/vision_wasm_module_internal.js",
    "wasm/vision_wasm_module_internal.wasm",
)
EXTRA_ASSETS = ("face_landmarker_task", "tasks_vision")


def live_files() -> dict[str, bytes]:
    """The files by name, as the built worker asks for them.

    Raises:
        AssetError: an outside file is not on this machine; it says how to fetch it.
    """
    face, browser = (asset_path(name) for name in EXTRA_ASSETS)
    networks = [asset_path(name).read_bytes() for name in ("pose_detection", "pose_landmark_full")]
    files = {Path(part).name: (browser / part).read_bytes() for part in BROWSER_PARTS}
    task = face.read_bytes()
    return files | {"face_landmarker.task": task, "pose_landmarker.task": pose_task(networks, task)}


def pose_task(networks: list[bytes], face_task: bytes) -> bytes:
    """A task that finds people and their 33 landmarks.

    Args:
        networks: the detector and the landmarks, as TFLite files without metadata.
        face_task: MediaPipe's face landmarker, whose detector and landmarks take their input as these do (0 to 1).
    """
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(face_task)) as face,
        zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as task,
    ):
        for name, donor, network in zip(POSE_PARTS, FACE_PARTS, networks, strict=True):
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same bytes whenever it is made
            task.writestr(member, _with_metadata(network, face.read(donor)))
    return out.getvalue()


def _with_metadata(network: bytes, donor: bytes) -> bytes:
    """The network with the other's metadata: what its input's mean and deviation are."""
    model, other = (schema.ModelT.InitFromPackedBuf(content, 0) for content in (network, donor))
    entry = next(each for each in other.metadata if each.name == METADATA)
    buffer = schema.BufferT()
    buffer.data = np.array(other.buffers[entry.buffer].data, np.uint8)
    model.buffers.append(buffer)
    mine = schema.MetadataT()
    mine.name, mine.buffer = METADATA.decode(), len(model.buffers) - 1
    model.metadata = [*(each for each in model.metadata or [] if each.name != METADATA), mine]
    builder = flatbuffers.Builder(len(network) + (1 << 16))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
