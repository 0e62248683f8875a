"""Agisoft Metashape: cameras exported as XML, and the photographs.

Metashape's camera model (its manual, appendix on camera models), x = X / Z, y = Y / Z (a fisheye: times theta / r):

    x' = x (1 + K1 r^2 + K2 r^4 + K3 r^6 + K4 r^8) + P1 (r^2 + 2 x^2) + 2 P2 x y
    y' = y (1 + K1 r^2 + K2 r^4 + K3 r^6 + K4 r^8) + P2 (r^2 + 2 y^2) + 2 P1 x y
    u = w / 2 + cx + f x' + B1 x' + B2 y'
    v = h / 2 + cy + f y'

so cx and cy are offsets from the middle of the image, P1 and P2 are OpenCV's p2 and p1, fx = f + B1, fy = f, and B2
is a skew of what the lens has made. Pixels are ours. A camera's ``transform`` takes it (OpenCV's axes) to the chunk;
the chunk's or component's own rotation, translation and scale go on from there to its reference world.

Whether that world is in metres depends on whether the chunk was given markers or scale bars, which the file does not
say; so the unit is asked for (1 where it was), and up. Every photograph is a camera of its own, all of one moment.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.finding import files_below, match_files, say_contents
from simulacra.recon.importers.footage import (
    IMAGE_ENDINGS,
    check_calibrated_size,
    image_footage,
    inside,
    make_session,
    session_names,
    visible,
)
from simulacra.recon.importers.foreign_text import (
    image_size,
    number,
    numbers,
    read_xml,
    say_unused,
    unused_parts,
)
from simulacra.recon.importers.options import MetashapeOptions
from simulacra.recon.importers.placing import place
from simulacra.recon.session import Lens, Session, SessionCamera, check_camera, check_lens
from simulacra.render.runtime.errors import CalibrationError, InputError

FISHEYES = ("fisheye", "equidistant_fisheye")
# Numbers of a calibration.
NUMBERS = ("f", "cx", "cy", "b1", "b2", "k1", "k2", "k3", "k4", "p1", "p2", "p3", "p4")
# Elements and attributes that are used, or only number the file's own parts.
KNOWN = {
    "document", "document.version", "chunk", "chunk.label", "chunk.enabled", "sensors", "sensors.next_id",
    "sensor", "sensor.id", "sensor.label", "sensor.type", "resolution", "resolution.width", "resolution.height",
    "calibration", "calibration.type", "calibration.class", *NUMBERS, "components", "components.next_id",
    "components.active_id", "component", "component.id", "component.label", "transform", "rotation", "translation",
    "scale", "cameras", "cameras.next_id", "cameras.next_group_id", "group", "group.id", "group.label", "camera",
    "camera.id", "camera.label", "camera.sensor_id", "camera.component_id", "camera.enabled",
}  # fmt: skip


def import_metashape(src: Path, session: Path, options: MetashapeOptions) -> Session:
    """Makes a session of a Metashape alignment. Photographs are linked or copied; their lenses are kept.

    Args:
        src: the folder of the XML file and the images.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: a file is missing or damaged, or an option is needed.
        CalibrationError: a camera that cannot be, or one of another image size.
        RunError: ``session`` exists already, or the disk is full.
    """
    path = _find_xml(src, options.xml)
    calibrated, notes = read_metashape(path)
    root = inside(src, options.images)
    files, said = _find_images(root, list(calibrated))
    notes += said
    calibrated = {label: calibrated[label] for label in files}
    names = session_names(calibrated)
    footage = image_footage({names[label]: {0: file} for label, file in files.items()})
    for label, camera in calibrated.items():
        check_calibrated_size(label, (camera.width, camera.height), footage.sizes[names[label]], path)
    found = [replace(camera, name=names[label]) for label, camera in calibrated.items()]
    cameras, T_world_source, placed = place(
        found, scale=options.scale, world_up=options.world_up, floor=options.floor, footage=footage
    )
    for one in cameras:
        check_camera(one.name, one.K, one.viewmat, one.width, one.height, path)
    return make_session(
        session, cameras, footage, importer="metashape",
        arguments={"src": src.name, **asdict(options)},
        notes=notes + placed, T_world_source=T_world_source, source=src,
    )  # fmt: skip


def read_metashape(path: Path) -> tuple[dict[str, SessionCamera], list[str]]:
    """Aligned cameras by their labels, in the chunk's reference world, and what was left out.

    Raises:
        InputError: missing, not XML, or not Metashape's.
        CalibrationError: something that cannot be, or a camera type that is not supported.
    """
    root = read_xml(path)
    chunks = root.findall("chunk")
    if len(chunks) != 1:
        raise InputError("a file of cameras has one chunk", where=path, found=f"{len(chunks)}")
    chunk = chunks[0]
    sensors = {sensor.get("id", ""): sensor for sensor in chunk.iterfind("sensors/sensor")}
    components = {one.get("id", ""): one for one in chunk.iterfind("components/component")}
    intrinsics: dict[str, SessionCamera] = {}
    found: dict[str, SessionCamera] = {}
    left: list[str] = []
    used = set()
    for element in chunk.iterfind("cameras//camera"):
        label, key = element.get("label", ""), element.get("sensor_id", "")
        where = f"{path}, camera {label[:80]}"
        if element.find("transform") is None or element.get("enabled", "true").lower() in ("false", "0"):
            left.append(label)
            continue
        if not label or label in found or key not in sensors:
            raise CalibrationError(
                "a camera needs a label of its own and a sensor", where=where, found=f"sensor {key}"
            )
        if key not in intrinsics:
            intrinsics[key] = _intrinsics(sensors[key], f"{path}, sensor {key}")
        used.add(element.get("component_id"))
        component = components.get(element.get("component_id", ""))
        T_world_chunk = _similarity(chunk if component is None else component, where)
        viewmat = _viewmat(element, T_world_chunk, where)
        found[label] = replace(intrinsics[key], name=label, viewmat=viewmat)
        check_camera(label, found[label].K, viewmat, found[label].width, found[label].height, path)
    if not found:
        raise InputError("no camera of the file is aligned", where=path)
    if len(used) > 1 and any(one.find("transform") is None for one in components.values()):
        raise CalibrationError(
            "the photographs fell apart into components that nothing connects",
            where=path,
            found=f"{len(used)} components",
            remedy="align them together, or give each its place by markers",
        )
    notes = (
        [f"{len(left)} photographs are not aligned or not enabled: left out ({left[0]} and on)"]
        if left
        else []
    )
    return found, [*notes, *say_unused(unused_parts(root, KNOWN), path)]


def _intrinsics(sensor: ElementTree.Element, where: str) -> SessionCamera:
    """A camera at the origin."""
    adjusted = [one for one in sensor.iterfind("calibration") if one.get("class", "adjusted") == "adjusted"]
    if len(adjusted) != 1:
        raise CalibrationError(
            "a sensor has no adjusted calibration",
            where=where,
            found=len(adjusted),
            remedy="align the photographs",
        )
    calibration = adjusted[0]
    resolution = calibration.find("resolution")
    if resolution is None:
        resolution = sensor.find("resolution")
    if resolution is None:
        raise CalibrationError("a sensor does not say its image size", where=where)
    width, height = image_size(resolution.get("width"), resolution.get("height"), where)
    value = {key: number((calibration.findtext(key) or "0").strip(), key, where) for key in NUMBERS}
    fx, fy = value["f"] + value["b1"], value["f"]
    K = np.array([[fx, 0, width / 2 + value["cx"]], [0, fy, height / 2 + value["cy"]], [0, 0, 1.0]])
    check_camera("of the sensor", K, np.eye(4), width, height, where)
    lens = _lens(calibration.get("type", sensor.get("type", "frame")), value, where)
    if lens is not None:
        check_lens(lens, where, K)
    return SessionCamera("", width, height, K, np.eye(4), lens)


def _lens(kind: str, value: Mapping[str, float], where: str) -> Lens | None:
    if kind not in ("frame", *FISHEYES):
        raise CalibrationError(
            "a sensor's type is not supported",
            where=where,
            expected=f"frame, {', '.join(FISHEYES)}",
            found=kind[:40],
        )
    if value["p3"] or value["p4"]:
        raise CalibrationError(
            "P3 and P4 are not supported", where=where, remedy="adjust the cameras without them"
        )
    k1, k2, k3, k4 = (value[f"k{i}"] for i in (1, 2, 3, 4))
    p1, p2 = value["p2"], value["p1"]
    skew = value["b2"] / (value["f"] + value["b1"])
    if kind in FISHEYES:
        return Lens("brown_fisheye", (k1, k2, k3, k4, p1, p2, skew))
    if k4 or skew:
        return Lens("brown", (k1, k2, k3, k4, p1, p2, skew))
    return Lens("opencv", (k1, k2, p1, p2, k3)) if any((k1, k2, p1, p2, k3)) else None


def _similarity(element: ElementTree.Element, where: str) -> Float[np.ndarray, "4 4"]:
    """World out of chunk, of the transform of a chunk or component; nothing where it has none."""
    T = np.eye(4)
    transform = element.find("transform")
    if transform is None:
        return T
    rotation, translation = transform.findtext("rotation"), transform.findtext("translation")
    scale = number((transform.findtext("scale") or "1").strip(), "the chunk's scale", where)
    if not 1e-9 < scale < 1e9:
        raise CalibrationError("the chunk's scale cannot be", where=where, found=scale)
    if rotation is not None:
        T[:3, :3] = numbers(rotation.split(), (9,), "the chunk's rotation", where).reshape(3, 3)
    if translation is not None:
        T[:3, 3] = numbers(translation.split(), (3,), "the chunk's translation", where)
    if not (np.abs(T[:3, :3] @ T[:3, :3].T - np.eye(3)).max() < 1e-3 and np.linalg.det(T[:3, :3]) > 0):
        raise CalibrationError(
            "the chunk's rotation is not rigid", where=where, found=T[:3, :3].round(4).tolist()
        )
    T[:3, :3] *= scale
    return T


def _viewmat(
    element: ElementTree.Element, T_world_chunk: Float[np.ndarray, "4 4"], where: str
) -> Float[np.ndarray, "4 4"]:
    """World to camera, in the world's unit."""
    c2w = numbers((element.findtext("transform") or "").split(), (16,), "a transform", where).reshape(4, 4)
    scale = float(np.cbrt(np.linalg.det(T_world_chunk[:3, :3])))
    R = T_world_chunk[:3, :3] @ c2w[:3, :3] / scale
    viewmat = np.eye(4)
    viewmat[:3, :3] = R.T
    viewmat[:3, 3] = -R.T @ (T_world_chunk[:3, :3] @ c2w[:3, 3] + T_world_chunk[:3, 3])
    return viewmat


# -- files -----------------------------------------------------------------------------------------


def _find_xml(src: Path, xml: str | None) -> Path:
    if xml is not None:
        return inside(src, xml)
    found = [path for path in visible(src) if path.suffix.lower() == ".xml"]
    if len(found) != 1:
        raise InputError(
            "there is more than one XML file" if found else "there is no XML file of cameras",
            where=src,
            expected="cameras.xml, as Metashape exports it",
            found=", ".join(path.name for path in found)[:200] or "none",
            remedy="name it: --xml NAME" if found else None,
        )
    return inside(src, found[0].name)


def _find_images(root: Path, labels: list[str]) -> tuple[dict[str, Path], list[str]]:
    """The photograph of each label, which is a file's name with or without its ending, and what was left out."""
    if not root.is_dir():
        raise InputError("the photographs are missing", where=root, remedy="say where: --images FOLDER")
    photographs = [path for path in files_below(root) if path.suffix.lower() in IMAGE_ENDINGS]
    found = match_files(photographs, {label: (label,) for label in labels}, root, rules=2)
    if not found:
        raise InputError(
            "no photograph has the name of a camera", where=root, expected=", ".join(labels)[:200],
            found=say_contents(root),
        )  # fmt: skip
    lost = [label for label in labels if label not in found]
    notes = [f"found photographs of {len(found)} of {len(labels)} cameras in {root.name}"]
    if lost:
        notes.append(f"{len(lost)} cameras have no photograph: left out ({lost[0]} and on)")
    ordered = [label for label in labels if label in found]
    return {label: inside(root, found[label].relative_to(root).as_posix()) for label in ordered}, notes
