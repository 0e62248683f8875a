"""Small captures made at test time: a person of ellipsoids in a ring of cameras, with exact images, masks and depth,
written as sessions and in every foreign layout that is imported.

The world is ours (+Y up, metres, floor at 0). The person stands at the origin, 1.7 m tall, a red left arm and a blue
right one. Every picture carries its frame's number as eight blocks along its upper edge.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from simulacra.recon.importers.building import new_session_folder, write_session
from simulacra.recon.session import Frame, Session, SessionCamera, Source, load_session
from simulacra.render.camera import look_at
from simulacra.render.image import write_image

SIZE = 96
DEPTH_SCALE = 10000.0
STATURE = 1.7
# Centre, radii and color of each part.
PARTS = (
    ((0.0, 1.55, 0.0), (0.10, 0.15, 0.11), (0.9, 0.7, 0.6)),
    ((0.0, 1.15, 0.0), (0.20, 0.32, 0.12), (0.3, 0.7, 0.3)),
    ((0.27, 1.10, 0.0), (0.06, 0.32, 0.06), (0.9, 0.2, 0.2)),
    ((-0.27, 1.10, 0.0), (0.06, 0.32, 0.06), (0.2, 0.2, 0.9)),
    ((0.10, 0.44, 0.0), (0.085, 0.44, 0.09), (0.4, 0.3, 0.2)),
    ((-0.10, 0.44, 0.0), (0.085, 0.44, 0.09), (0.4, 0.3, 0.2)),
)
BACKGROUND = 0.1
# The sensor's quarter turn of rgbd rigs: camera axes of the turned (upright) image out of the sensor's.
QUARTER_TURN = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
# A z-up calibration's world out of ours.
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def ring(count: int = 4, size: int = SIZE, radius: float = 2.4) -> tuple[SessionCamera, ...]:
    """Level cameras all round, all slightly different, the first in front of the person; named 0, 1, ..."""
    angles = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / count)
    heights = 1.1 + 0.2 * (torch.arange(count) % 2)
    eyes = torch.stack([radius * torch.sin(angles), heights.double(), radius * torch.cos(angles)], -1)
    targets = torch.tensor([[0.0, 0.85, 0.0]], dtype=torch.float64).expand(count, 3)
    made = []
    for i in range(count):
        view = look_at(eyes[i : i + 1], targets[i : i + 1], size * (1.0 + 0.05 * i), size, size)
        K = view.Ks[0].numpy().copy()
        K[:2, 2] += (1.5 * i, -i)
        made.append(SessionCamera(str(i), size, size, K, view.viewmats[0].numpy()))
    return tuple(made)


def picture(
    camera: SessionCamera, frame: int = 0, person: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image float32 [h w 3], mask [h w] and depth in metres [h w], 0 beside the person, who steps 1 cm a frame."""
    rows, columns = np.mgrid[: camera.height, : camera.width] + 0.5
    K, R = camera.K, camera.viewmat[:3, :3]
    local = np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones_like(rows)], -1)
    rays, eye = local @ R, -R.T @ camera.viewmat[:3, 3] - np.array([0.01 * frame, 0, 0])
    depth = np.full(rows.shape, np.inf)
    image = np.full((*rows.shape, 3), BACKGROUND)
    for centre, radii, color in PARTS if person else ():
        hit = _ellipsoid(rays / radii, (eye - centre) / np.array(radii))
        nearer = hit < depth
        depth[nearer] = hit[nearer]
        image[nearer] = color
    mask = np.isfinite(depth)
    block = camera.width // 8
    for bit in range(8):
        image[: block // 2, bit * block : (bit + 1) * block] = float(frame >> bit & 1)
    return image.astype(np.float32), mask.astype(np.float32), np.where(mask, depth, 0.0).astype(np.float32)


def _ellipsoid(rays: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """Depth (rays have z 1) at which they meet the unit sphere, inf where they do not."""
    a, b, c = (rays**2).sum(-1), rays @ eye, eye @ eye - 1
    inside = b**2 - a * c
    return np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)


def frame_number(image: np.ndarray) -> int:
    """The number that `picture` wrote into an image, of whatever coding."""
    block = image.shape[1] // 8
    means = [image[1 : block // 2 - 1, bit * block + 2 : (bit + 1) * block - 2].mean() for bit in range(8)]
    return sum(1 << bit for bit, mean in enumerate(means) if mean > 0.5)


def write_depth(path: Path, depth: np.ndarray, scale: float = DEPTH_SCALE) -> None:
    """A 16 bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.round(depth * scale).clip(0, 65535).astype(np.uint16))


def write_video(path: Path, images: Sequence[np.ndarray], fps: int = 30, **options: str) -> None:
    """H.264 with B frames and a key frame in eight, as videos of the field have them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "8", "g": "8", "bf": "2"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            pixels = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


# -- our own layout --------------------------------------------------------------------------------


def synthetic_session(
    path: Path,
    *,
    cameras: int = 4,
    frames: int = 1,
    size: int = SIZE,
    video: bool = False,
    depth: bool = True,
) -> Session:
    """A session of the person: image files with masks and depth, or videos with masks."""
    made = ring(cameras, size)
    with new_session_folder(path) as folder:
        for camera in made:
            shots = [picture(camera, frame) for frame in range(frames)]
            if video:
                write_video(folder / f"videos/{camera.name}.mp4", [shot[0] for shot in shots])
            for frame, (image, mask, distance) in enumerate(shots):
                name = f"{camera.name}/{frame:06d}.png"
                write_image(folder / "masks" / name, mask)
                if not video:
                    write_image(folder / "images" / name, image)
                if depth:
                    write_depth(folder / "depth" / name, distance)
        described = [_frame(made, frame, video) for frame in range(frames)]
        scale = DEPTH_SCALE if depth else None
        write_session(
            folder,
            [SessionCamera(c.name, c.width, c.height, c.K, c.viewmat, None, scale) for c in made],
            described,
            importer="synthetic",
            arguments={},
            notes=[],
            T_world_source=np.eye(4),
            source=path,
        )
    return load_session(path)


def _frame(cameras: Sequence[SessionCamera], frame: int, video: bool) -> Frame:
    if video:
        return Frame(frame, {c.name: Source(f"videos/{c.name}.mp4", frame, frame / 30) for c in cameras})
    return Frame(frame, {c.name: Source(f"images/{c.name}/{frame:06d}.png") for c in cameras})


# -- foreign layouts -------------------------------------------------------------------------------


def write_rgbd_rig(
    folder: Path,
    *,
    cameras: int = 6,
    frames: Sequence[str] = ("FRAME0001",),
    size: int = SIZE,
    T_source_world: np.ndarray | None = None,
    person: Callable[[str], bool] = lambda name: True,
) -> tuple[SessionCamera, ...]:
    """COLOR, DEPTH, MASK and PARAM as a rig with turned sensors writes them; gives the cameras in our world."""
    made = ring(cameras, size)
    T = np.eye(4) if T_source_world is None else T_source_world
    for number, frame in enumerate(frames):
        for camera in made:
            image, mask, depth = picture(camera, number, person(camera.name))
            write_image(folder / "COLOR" / frame / f"{camera.name}.png", image)
            write_image(folder / "MASK" / frame / f"{camera.name}.png", mask)
            write_depth(folder / "DEPTH" / frame / f"{camera.name}.png", depth)
            K = camera.K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
            RT = QUARTER_TURN.T @ (camera.viewmat @ np.linalg.inv(T))[:3]
            write_param(folder / "PARAM" / frame / f"{camera.name}.npy", {"K": K @ QUARTER_TURN, "RT": RT})
    return made


def write_param(path: Path, param: dict[str, np.ndarray]) -> None:
    """A pickled dictionary in an .npy file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(param, dtype=object), allow_pickle=True)


def write_qualisys(
    folder: Path, *, cameras: int = 3, frames: int = 6, calibrated_width: int = SIZE
) -> tuple[SessionCamera, ...]:
    """videos/ and calibration/Calib.qca.txt; gives the cameras in our world."""
    made = ring(cameras)
    entries = []
    for camera in made:
        images = [picture(camera, frame)[0] for frame in range(frames)]
        write_video(folder / f"videos/cam{camera.name}.mp4", images)
        # Ours -> z up, millimetres; OpenCV's axes -> x right, y up, looking backwards; columns first.
        R = Z_UP @ camera.viewmat[:3, :3].T @ np.diag([1.0, -1, -1])
        centre = 1000 * Z_UP @ -(camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3])
        numbers = {f"r{j + 1}{i + 1}": R[i, j] for i in range(3) for j in range(3)}
        transform = " ".join(f'{key}="{value:.12f}"' for key, value in numbers.items())
        K = 64 * (camera.K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]))
        entries.append(
            f'<camera serial="cam{camera.name}">'
            f'<fov_video left="0" top="0" right="{calibrated_width - 1}" bottom="{SIZE - 1}"/>'
            f'<transform x="{centre[0]:.9f}" y="{centre[1]:.9f}" z="{centre[2]:.9f}" {transform}/>'
            f'<intrinsic focalLengthU="{K[0, 0]:.9f}" focalLengthV="{K[1, 1]:.9f}" centerPointU="{K[0, 2]:.9f}" '
            f'centerPointV="{K[1, 2]:.9f}" skew="0" radialDistortion1="0" radialDistortion2="0" '
            f'radialDistortion3="0" tangentalDistortion1="0" tangentalDistortion2="0"/></camera>'
        )
    calibration = folder / "calibration" / "Calib.qca.txt"
    calibration.parent.mkdir(parents=True, exist_ok=True)
    calibration.write_text(f"<calibration><cameras>{''.join(entries)}</cameras></calibration>", "utf-8")
    return made


def write_trc(path: Path, names: Sequence[str], times: Sequence[float], joints: np.ndarray) -> None:
    """World joints [t k 3] (ours) as a .trc of the z-up world: TRC (x, y, z) = z-up world (y, z, x)."""
    rows = []
    for number, (time, moment) in enumerate(zip(times, joints), start=1):
        columns = (moment @ Z_UP.T)[:, [1, 2, 0]]
        rows.append("\t".join([str(number), f"{time:.6f}", *(f"{value:.9f}" for value in columns.ravel())]))
    head = [
        "PathFileType\t4\t(X/Y/Z)\tjoints.trc",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits",
        f"30\t30\t{len(rows)}\t{len(names)}\tm",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"X{i}\tY{i}\tZ{i}" for i in range(1, len(names) + 1)),
    ]
    path.write_text("\n".join(head + rows) + "\n", "utf-8")


def write_caliscope(
    folder: Path,
    *,
    cameras: int = 4,
    frames: int = 6,
    missing: Sequence[tuple[int, int]] = (),
    R_source_world: np.ndarray = Z_UP,
) -> tuple[SessionCamera, ...]:
    """camera_array.toml and a recording; ``missing`` (camera, frame) were not recorded. Cameras in our world."""
    made = ring(cameras)
    tables, rows = [], []
    for number, camera in enumerate(made):
        recorded = [frame for frame in range(frames) if (number, frame) not in missing]
        write_video(
            folder / f"calibration/extrinsic/cam_{number}.mp4", [picture(camera, f)[0] for f in recorded]
        )
        K = camera.K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
        R = camera.viewmat[:3, :3] @ R_source_world.T
        tables.append(
            f"[cameras.{number}]\ncam_id = {number}\nrotation_count = 0\nignore = false\nsize = [{SIZE}, {SIZE}]\n"
            f"matrix = {K.tolist()}\ndistortions = [0.0, 0.0, 0.0, 0.0, 0.0]\n"
            f"translation = {camera.viewmat[:3, 3].tolist()}\nrotation = {R.tolist()}\n"
        )
        rows += [(10 + f, number, 10 + k, 5.0 + f / 30 + 0.001 * number) for k, f in enumerate(recorded)]
    (folder / "camera_array.toml").write_text("\n".join(tables), "utf-8")
    with (folder / "calibration/extrinsic/timestamps.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sync_index", "cam_id", "frame_index", "frame_time"])
        writer.writerows(sorted(rows))
    return made
