"""Which way a person stands in the pictures of a capture whose cameras do not say which way is up.

Pictures of cameras on their side show people who lie: each is looked at in its four quarter turns, and counts as the
network sees the person best. The torso's line and the camera's centre span a plane that holds up, for a person who
stands or sits; of several cameras that look around, up is what is most nearly in all planes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.footage import Footage
from simulacra.recon.multiview.up import UpVote
from simulacra.recon.observe.pose import PoseDetection, PoseNetwork
from simulacra.recon.preflight.samples import rotate_back
from simulacra.recon.session import SessionCamera
from simulacra.recon.session.lens import undistort
from simulacra.recon.session.video import read_video_frame
from simulacra.render.image import read_image
from simulacra.render.runtime.errors import AssetError, MissingExtraError

MOST_VIEWS = 6
FEWEST_VIEWS = 3
# Torsos that lean by more than this from the up that they say together (rms, degrees) are not of one who stands.
MOST_LEAN = 20.0
# How far a standing or sitting person leans, and how seldom one seen so by several cameras stands on the head.
ERROR_DEG, DOUBT = 12.0, 0.003
_HIPS, _SHOULDERS = [23, 24], [11, 12]

FindsPerson = Callable[[Float[np.ndarray, "h w 3"]], PoseDetection | None]


def person_vote(
    cameras: Sequence[SessionCamera], footage: Footage, find: FindsPerson | None = None
) -> UpVote | None:
    """What a person in a frame from the middle says of up; None where too few cameras see one, or no network is there.

    Args:
        cameras: of the footage, in their calibration's world.
        footage: what was recorded.
        find: who finds a person in an upright picture (RGB in 0..1); the landmark network if None.
    """
    try:
        find = find or _whole_person(PoseNetwork())
    except (AssetError, MissingExtraError):
        return None
    some = np.unique(np.linspace(0, len(cameras) - 1, MOST_VIEWS).round().astype(int))
    torsos = {}
    for camera in (cameras[i] for i in some):
        image = _picture(footage, camera.name)
        torso = None if image is None else find_torso(image, find)
        if torso is not None:
            torsos[camera.name] = torso
    return vote_of_torsos([camera for camera in cameras if camera.name in torsos], torsos)


def _whole_person(network: PoseNetwork) -> FindsPerson:
    """Without a second look at parts of the picture: one who stands in it is large enough in most of them."""

    def find(image: Float[np.ndarray, "h w 3"]) -> PoseDetection | None:
        roi = network.find(image, tiles=False)
        return None if roi is None else network.predict(image, roi)

    return find


def find_torso(image: Float[np.ndarray, "h w 3"], find: FindsPerson) -> Float[np.ndarray, "2 2"] | None:
    """Mid hips and mid shoulders, pixels, in the quarter turn in which a person is seen best; None without one."""
    height, width = image.shape[:2]
    best, torso = 0.0, None
    for turns in range(4):
        found = find(np.ascontiguousarray(np.rot90(image, -turns)))
        if found is None:
            continue
        sure = float(found.score * found.visibility[_HIPS + _SHOULDERS].mean())
        if sure > best:
            best, px = sure, rotate_back(found.px, turns, width, height)
            torso = np.stack([px[_HIPS].mean(axis=0), px[_SHOULDERS].mean(axis=0)]).astype(np.float64)
    return torso


def vote_of_torsos(
    cameras: Sequence[SessionCamera], torsos: Mapping[str, Float[np.ndarray, "2 2"]]
) -> UpVote | None:
    """Up by the torsos (hips, shoulders; pixels) of a person who stands; None where they do not agree on one."""
    if len(cameras) < FEWEST_VIEWS:
        return None
    normals, upwards = [], []
    for camera in cameras:
        points = (torsos[camera.name] - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]]
        if camera.lens is not None:
            points = undistort(camera.lens, points)
        rays = np.concatenate([points, np.ones((2, 1))], axis=1) @ camera.viewmat[:3, :3]
        normal = np.cross(rays[0], rays[1])
        normals.append(normal / max(float(np.linalg.norm(normal)), 1e-12))
        upwards.append(rays[1] - rays[0])
    planes = np.array(normals)
    if not np.isfinite(planes).all():
        return None
    _, sizes, directions = np.linalg.svd(planes)
    up = directions[2]
    ends = np.array(upwards) @ up
    up = up * np.sign(ends.sum())
    lean = float(np.degrees(np.sqrt((np.arcsin(np.clip(planes @ up, -1, 1)) ** 2).mean())))
    agreed = (np.sign(ends) == np.sign(ends.sum())).mean()
    # As for horizons: cameras that look the same way leave the lean towards them open.
    if sizes[1] < 0.34 * sizes[0] or lean > MOST_LEAN or agreed < 0.8:
        return None
    return UpVote(f"the person in {len(cameras)} cameras", up, ERROR_DEG, DOUBT)


def _picture(footage: Footage, camera: str) -> Float[np.ndarray, "h w 3"] | None:
    """One from the middle of the recording."""
    shown = [frame.sources[camera] for frame in footage.frames if camera in frame.sources]
    if not shown:
        return None
    source = shown[len(shown) // 2]
    path = footage.files[source.file]
    if source.number is None:
        return read_image(path)[..., :3]
    return read_video_frame(path, source.number).astype(np.float32) / np.float32(255)
