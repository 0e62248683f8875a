"""Small captures in the layouts of other programs, with the cameras of the ring that they are of."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from simulacra.recon.session import SessionCamera
from simulacra.render.image import write_image
from tests.recon.ellipsoid_person import SIZE, Z_UP, picture, ring, write_depth, write_video

HALF_PIXEL = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def z_up(camera: SessionCamera) -> np.ndarray:
    """The camera's viewmat of a z-up world."""
    viewmat = camera.viewmat.copy()
    viewmat[:3, :3] = camera.viewmat[:3, :3] @ Z_UP.T
    return viewmat


def write_pictures(folder: Path, camera: SessionCamera, frames: int, name: str, video: bool) -> None:
    """videos/NAME.mp4, or images/NAME/000007.png and on."""
    shots = [picture(camera, frame)[0] for frame in range(frames)]
    if video:
        write_video(folder / f"videos/{name}.mp4", shots)
        return
    for frame, shot in enumerate(shots):
        write_image(folder / f"images/{name}/{frame + 7:06d}.png", shot)


def opencv_matrix(key: str, values: np.ndarray) -> str:
    """A matrix as OpenCV's FileStorage writes it."""
    rows, cols = np.atleast_2d(values).shape
    data = ", ".join(f"{value:.12g}" + ("." if float(value).is_integer() else "") for value in values.ravel())
    return f"{key}: !!opencv-matrix\n   rows: {rows}\n   cols: {cols}\n   dt: d\n   data: [ {data} ]\n"


def write_easymocap(
    folder: Path,
    *,
    cameras: int = 3,
    frames: int = 3,
    video: bool = False,
    scale: float = 1.0,
    names: Sequence[str] = ("01", "02", "03"),
    distortion: Sequence[float] = (0.0, 0.0, 0.0, 0.0, 0.0),
) -> tuple[SessionCamera, ...]:
    """intri.yml and extri.yml of a z-up world whose unit is 1/scale metres; gives the cameras in our world."""
    made = ring(cameras)
    head = "%YAML:1.0\n---\nnames:\n" + "".join(f'  - "{name}"\n' for name in names[:cameras])
    intri, extri = head, head
    for name, camera in zip(names, made):
        write_pictures(folder, camera, frames, name, video)
        viewmat = z_up(camera)
        intri += opencv_matrix(f"K_{name}", camera.K - HALF_PIXEL)
        intri += opencv_matrix(f"dist_{name}", np.array([distortion]))
        extri += opencv_matrix(f"R_{name}", cv2.Rodrigues(viewmat[:3, :3])[0])
        extri += opencv_matrix(f"Rot_{name}", viewmat[:3, :3])
        extri += opencv_matrix(f"T_{name}", viewmat[:3, 3:] * scale)
    (folder / "intri.yml").write_text(intri, "utf-8")
    (folder / "extri.yml").write_text(extri, "utf-8")
    return made


def write_pose2sim(
    folder: Path, *, cameras: int = 3, frames: int = 4, size: tuple[int, int] = (SIZE, SIZE)
) -> tuple[SessionCamera, ...]:
    """calibration/Calib.toml with tables cam_01 and on, and videos cam01.mp4 and on; the cameras in our world."""
    made = ring(cameras)
    tables = []
    for number, camera in enumerate(made, start=1):
        write_pictures(folder, camera, frames, f"cam{number:02d}", video=True)
        viewmat = z_up(camera)
        tables.append(
            f'[cam_{number:02d}]\nname = "cam_{number:02d}"\nsize = [ {size[0]}.0, {size[1]}.0]\n'
            f"matrix = {(camera.K - HALF_PIXEL).tolist()}\ndistortions = [ 0.0, 0.0, 0.0, 0.0]\n"
            f"rotation = {cv2.Rodrigues(viewmat[:3, :3])[0].ravel().tolist()}\n"
            f"translation = {viewmat[:3, 3].tolist()}\nfisheye = false\n"
        )
    tables.append("[metadata]\nadjusted = false\nerror = 0.0\n")
    (folder / "calibration").mkdir(parents=True, exist_ok=True)
    (folder / "calibration/Calib.toml").write_text("\n".join(tables), "utf-8")
    return made


def assert_cameras_are(
    found: Sequence[SessionCamera], truth: Sequence[SessionCamera], atol: float = 1e-9
) -> None:
    """K and viewmat of every camera, in order."""
    assert len(found) == len(truth)
    for mine, theirs in zip(found, truth):
        np.testing.assert_allclose(mine.K, theirs.K, atol=atol)
        np.testing.assert_allclose(mine.viewmat, theirs.viewmat, atol=atol)
        assert (mine.width, mine.height) == (theirs.width, theirs.height)


def quat_of(rotation: np.ndarray) -> np.ndarray:
    """w x y z, w not negative."""
    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return np.array([w, x, y, z]) * (1 if w >= 0 else -1)


def write_colmap(
    folder: Path,
    *,
    cameras: int = 3,
    name_of: Callable[[str, int], str] = lambda camera, frame: f"{camera}.png",
    frames: int = 1,
    registered: Sequence[int] | None = None,
    scale: float = 1.0,
    model: str = "PINHOLE",
    extra: Sequence[float] = (),
    masks: bool = False,
) -> tuple[SessionCamera, ...]:
    """sparse/0 in text, of a z-up world in units of 1/scale metres, and images/; the cameras in our world."""
    made = ring(cameras)
    head, lines = [], []
    for number, camera in enumerate(made, start=1):
        K, viewmat = camera.K, z_up(camera)
        parameters = [K[0, 0], K[1, 1], K[0, 2], K[1, 2], *extra]
        head.append(f"{number} {model} {SIZE} {SIZE} " + " ".join(f"{p:.17g}" for p in parameters))
        for frame in range(frames):
            name = name_of(camera.name, frame)
            image, mask, _ = picture(camera, frame)
            write_image(folder / "images" / name, image)
            if masks:
                write_image(folder / "masks" / f"{name}.png", mask)
            if registered is None or frame in registered:
                pose = [*quat_of(viewmat[:3, :3]), *(viewmat[:3, 3] * scale)]
                numbers = " ".join(f"{value:.17g}" for value in pose)
                lines.append(f"{len(lines) + 1} {numbers} {number} {name}\n10.5 20.5 -1\n")
    (folder / "sparse/0").mkdir(parents=True, exist_ok=True)
    (folder / "sparse/0/cameras.txt").write_text("# cameras\n" + "\n".join(head) + "\n", "utf-8")
    (folder / "sparse/0/images.txt").write_text("# images\n" + "".join(lines), "utf-8")
    return made


def write_nerfstudio(
    folder: Path,
    *,
    cameras: int = 3,
    frames: int = 1,
    scale: float = 1.0,
    shared: bool = False,
    timed: bool = False,
    masks: bool = False,
    depth: float | None = None,
    name_of: Callable[[str, int], str] = lambda camera, frame: f"images/{camera}/{frame:04d}.png",
    **extra: object,
) -> tuple[SessionCamera, ...]:
    """transforms.json of a z-up world in units of 1/scale metres; gives the cameras in our world.

    ``shared``: all have the first camera's intrinsics, at the top. ``depth``: units in a metre.
    """
    made = tuple(replace(camera, K=ring(1)[0].K) for camera in ring(cameras)) if shared else ring(cameras)
    described: dict[str, object] = {"camera_model": "OPENCV", **extra, "frames": []}
    listed = []
    for camera in made:
        K = camera.K
        intrinsics = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "w": SIZE, "h": SIZE}
        c2w = np.linalg.inv(z_up(camera)) @ np.diag([1.0, -1, -1, 1])
        c2w[:3, 3] *= scale
        for frame in range(frames):
            name = name_of(camera.name, frame)
            image, mask, distance = picture(camera, frame)
            write_image(folder / name, image)
            entry: dict[str, object] = {"file_path": name, "transform_matrix": c2w.tolist()}
            if timed:
                entry["time"] = frame / 10
            if masks:
                entry["mask_path"] = name.replace("images", "masks")
                write_image(folder / str(entry["mask_path"]), mask)
            if depth:
                entry["depth_file_path"] = name.replace("images", "depths")
                write_depth(folder / str(entry["depth_file_path"]), distance, depth)
            described.update(intrinsics) if shared else entry.update(intrinsics)
            listed.append(entry)
    (folder / "transforms.json").write_text(json.dumps({**described, "frames": listed}), "utf-8")
    return made


def write_vhap(folder: Path, *, top: bool = True) -> tuple[SessionCamera, ...]:
    """A sequence of VHAP: 3 timesteps of 2 cameras, images/TTTTT_CC.png, masks, intrinsics in each frame.

    ``top``: others stand at the top.
    """
    truth = write_nerfstudio(
        folder, cameras=2, frames=3, masks=True,
        name_of=lambda camera, frame: f"images/{frame:05d}_{camera:0>2}.png",
    )  # fmt: skip
    path = folder / "transforms.json"
    described = json.loads(path.read_text())
    described.pop("camera_model")
    described |= {"timestep_indices": [0, 1, 2], "camera_indices": [0, 1], "w": SIZE, "h": SIZE}
    if top:
        described |= {"fl_x": 5.0, "fl_y": 5.0, "cx": 1.0, "cy": 1.0}
    for frame in described["frames"]:
        time, camera = Path(frame["file_path"]).stem.split("_")
        frame |= {"timestep_index": int(time), "timestep_id": time, "camera_index": int(camera)}
        frame |= {"camera_id": f"22{camera}", "flame_param_path": f"flame_param/{time}.npz"}
        frame["fg_mask_path"] = frame.pop("mask_path")
    path.write_text(json.dumps(described))
    return truth


def write_calibrated_videos(folder: Path, *, cameras: int = 2, frames: int = 2) -> tuple[SessionCamera, ...]:
    """0.mp4 and on, and board/calibration.json as `calibrate board` writes it; the cameras in our world."""
    made = ring(cameras)
    entries = []
    for camera in made:
        write_video(folder / f"{camera.name}.mp4", [picture(camera, frame)[0] for frame in range(frames)])
        entry: dict[str, object] = {"name": camera.name, "width": camera.width, "height": camera.height}
        entry |= {"K": camera.K.tolist(), "viewmat": camera.viewmat.tolist(), "distortion": [0.0] * 5}
        entries.append(entry)
    described = {"schema": 1, "units": "metres", "posed": True, "cameras": entries}
    (folder / "board").mkdir(parents=True, exist_ok=True)
    (folder / "board/calibration.json").write_text(json.dumps(described), "utf-8")
    return made


def metashape_sensor(
    number: int, K: np.ndarray, kind: str = "frame", size: int = SIZE, **extra: float
) -> str:
    """A sensor of one focal length and b1, its principal point counted from the middle."""
    values = {
        "f": K[1, 1],
        "cx": K[0, 2] - size / 2,
        "cy": K[1, 2] - size / 2,
        "b1": K[0, 0] - K[1, 1],
        **extra,
    }
    inner = "".join(f"<{key}>{value:.17g}</{key}>" for key, value in values.items())
    resolution = f'<resolution width="{size}" height="{size}"/>'
    return (
        f'<sensor id="{number}" label="phone" type="{kind}">{resolution}'
        f'<calibration type="{kind}" class="initial">{resolution}<f>1</f></calibration>'
        f'<calibration type="{kind}" class="adjusted">{resolution}{inner}</calibration></sensor>'
    )


def write_metashape(
    folder: Path,
    *,
    cameras: int = 3,
    T_world_chunk: np.ndarray | None = None,
    ending: bool = False,
    kind: str = "frame",
    **extra: float,
) -> tuple[SessionCamera, ...]:
    """cameras.xml of a z-up world, the chunk in it by a similarity; a photograph a camera. Cameras in our world."""
    made = ring(cameras)
    T = np.eye(4) if T_world_chunk is None else T_world_chunk
    scale = float(np.cbrt(np.linalg.det(T[:3, :3])))
    sensors, entries = [], []
    for number, camera in enumerate(made):
        write_image(folder / f"images/photo {camera.name}.png", picture(camera)[0])
        sensors.append(metashape_sensor(number, camera.K, kind, **extra))
        c2w = np.linalg.inv(T) @ np.linalg.inv(z_up(camera))
        c2w[:3, :3] *= scale
        transform = " ".join(f"{value:.17g}" for value in c2w.ravel())
        label = f"photo {camera.name}" + (".png" if ending else "")
        entries.append(
            f'<camera id="{number}" sensor_id="{number}" component_id="0" label="{label}">'
            f"<transform>{transform}</transform></camera>"
        )
    rotation = " ".join(f"{value:.17g}" for value in (T[:3, :3] / scale).ravel())
    translation = " ".join(f"{value:.17g}" for value in T[:3, 3])
    transform = (
        f'<transform><rotation locked="1">{rotation}</rotation><translation>{translation}</translation>'
        f"<scale>{scale:.17g}</scale></transform>"
    )
    component = f'<component id="0" label="one">{transform if T_world_chunk is not None else ""}</component>'
    (folder / "cameras.xml").write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<document version="2.0.0"><chunk label="Chunk 1" enabled="true">'
        f"<sensors>{''.join(sensors)}</sensors><components>{component}</components>"
        f'<cameras>{entries[0]}<group id="0">{"".join(entries[1:])}</group></cameras></chunk></document>',
        "utf-8",
    )
    return made
