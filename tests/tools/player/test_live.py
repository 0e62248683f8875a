"""A camera drives the player: with Chromium's fake camera, fed from a recording, and nothing leaves the page."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from simulacra.render.body import load_body
from simulacra.render.export.rigged import RiggedAvatar, pack_rigged
from simulacra.render.runtime.assets import asset_path
from simulacra.render.runtime.errors import AssetError
from simulacra.tools.player import write_player
from simulacra.tools.player.live import POSE_PARTS, live_files, pose_task
from tests.browser import open_browser, serve_folder
from tests.render.test_avatar import planted

WIDE, HIGH = 640, 480
SHOWN = (60, 360, 760, 1210)  # pixels of the frame around the man: left, upper, right, lower
# What MediaPipe 0.10.21's own pipeline (static pictures, full model) finds in the first frame of the demo's first
# camera, pixels: shoulders, elbows, wrists, hips, knees, ankles.
KNOWN = {
    11: (516, 513),
    12: (370, 492),
    13: (531, 624),
    14: (296, 605),
    15: (546, 728),
    16: (266, 732),
    23: (459, 739),
    24: (377, 730),
    25: (454, 917),
    26: (367, 906),
    27: (417, 1085),
    28: (330, 1013),
}
# MediaPipe speaks of its progress as errors.
OF_MEDIAPIPE = re.compile(r"^(INFO|WARNING|[IW]\d{4})\b|OpenGL error checking|Graph successfully started")


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    try:
        return live_files()
    except AssetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def frame() -> Image.Image:
    with av.open(str(asset_path("demo_capture") / "videos" / "cam01.mp4")) as video:
        return next(video.decode(video=0)).to_image()


def fake_camera(picture: Image.Image, path: Path) -> tuple[float, int]:
    """A recording of one picture over and over, in the middle of the camera's; its scale and its left edge."""
    scale = HIGH / picture.height
    small = picture.resize((round(picture.width * scale), HIGH), Image.Resampling.LANCZOS)
    left = (WIDE - small.width) // 2
    canvas = Image.new("RGB", (WIDE, HIGH), (90, 90, 90))
    canvas.paste(small, (left, 0))
    y, cb, cr = canvas.convert("YCbCr").split()
    planes = [np.asarray(y), *(np.asarray(p.resize((WIDE // 2, HIGH // 2))) for p in (cb, cr))]
    one = b"FRAME\n" + b"".join(plane.tobytes() for plane in planes)
    path.write_bytes(f"YUV4MPEG2 W{WIDE} H{HIGH} F10:1 Ip A1:1 C420jpeg\n".encode() + 5 * one)
    return scale, left


@pytest.fixture(scope="module")
def site(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    body, folder = load_body(), tmp_path_factory.mktemp("live")
    avatar, rig = planted(body)
    packed = pack_rigged(RiggedAvatar(avatar, rig, body.zero_pose()), binding=False)
    write_player(folder, packed, "person", files)
    with serve_folder(folder) as address:
        yield address


def test_the_camera_moves_the_body_and_nothing_leaves_the_page(
    site: str, frame: Image.Image, tmp_path: Path
) -> None:
    scale, left = fake_camera(frame.crop(SHOWN), tmp_path / "camera.y4m")
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    flags.append(f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}")
    with open_browser(*flags) as browser:
        page = browser.open(f"{site}/index.html")
        page.wait_for("window.player?.ready || window.playerFailed")
        assert not any("live/" in url for url in page.requests)  # nothing of it before it is asked for
        assert page.evaluate("player.live === null && !document.getElementById('live-video').srcObject")
        page.evaluate("document.body.classList.add('open')")
        page.click("#live-button")
        page.wait_for(
            "window.liveSession?.places.length || document.getElementById('live-state').textContent"
        )
        page.wait_for("player.live?.rotations.size > 10")
        places = page.evaluate("liveSession.places.map(p => [p.x, p.y])")
        found = (np.array(places) * (WIDE, HIGH) - (left, 0)) / scale + SHOWN[:2]
        away = np.linalg.norm(found[list(KNOWN)] - np.array(list(KNOWN.values())), axis=1)
        # Of a man who is some 700 px tall, made half as large for the camera.
        assert np.median(away) < 20
        # What MediaPipe would send of its uses is answered before it is sent; the policy would stop it, and say so.
        page.click("#live-button")
        page.wait_for("player.live === null && !document.getElementById('live-video').srcObject")
        assert [url for url in page.requests if not url.startswith((site, "data:", "blob:"))] == []
        assert [text for text in page.complaints if not OF_MEDIAPIPE.search(text)] == []


def test_the_task_of_the_body_says_how_its_input_is_normalised(files: dict[str, bytes]) -> None:
    face = asset_path("face_landmarker_task").read_bytes()
    networks = [asset_path(name).read_bytes() for name in ("pose_detection", "pose_landmark_full")]
    made = pose_task(networks, face)
    assert made == files["pose_landmarker.task"] == pose_task(networks, face)
    with zipfile.ZipFile(BytesIO(made)) as task:
        assert task.namelist() == list(POSE_PARTS)
        assert all(member.compress_type == zipfile.ZIP_STORED for member in task.infolist())
        for name, network in zip(POSE_PARTS, networks, strict=True):
            content = task.read(name)
            assert content.count(b"TFLITE_METADATA") == 1  # one of the two has some of its own, which go
            assert abs(len(content) - len(network)) < 1 << 16
