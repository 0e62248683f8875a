"""A session says what is wrong with it, and gives exactly what was recorded."""

import io
import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from simulacra.recon.session import SESSION_FILE, Lens, Session, load_session, reference
from simulacra.recon.session.lens import distort
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import SIZE, frame_number, picture, synthetic_session


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return synthetic_session(tmp_path_factory.mktemp("session") / "images", frames=3)


@pytest.fixture
def copy(tmp_path: Path) -> Session:
    return synthetic_session(tmp_path / "copy", cameras=2)


def change(session: Session, edit: Callable[[dict[str, Any]], object]) -> Path:
    """Edits session.json in place."""
    path = session.root / SESSION_FILE
    described = json.loads(path.read_text())
    edit(described)
    path.write_text(json.dumps(described))
    return session.root


def test_what_is_read_is_what_was_recorded(made: Session) -> None:
    assert made.camera_names == ("0", "1", "2", "3") and made.frame_indices == (0, 1, 2)
    for name in ("0", "3"):
        image, mask, depth = picture(made.camera(name), 2)
        assert np.abs(made.image(2, name) - image).max() <= 0.5 / 255 + 1e-6
        assert np.array_equal(made.mask(2, name), mask)
        read = made.depth(2, name)
        assert read is not None
        assert np.array_equal(read[1], mask > 0.5)
        assert np.abs(read[0] - depth).max() <= 0.5 / 10000 + 1e-6


def test_frames_are_read_in_order_and_by_number(tmp_path: Path) -> None:
    session = synthetic_session(tmp_path / "video", cameras=2, frames=21, video=True)
    assert [frame_number(image) for image in session.iter_images("1", [0, 3, 4, 17, 20])] == [0, 3, 4, 17, 20]
    assert [frame_number(session.image(k, "1")) for k in (20, 0, 9, 8, 7)] == [20, 0, 9, 8, 7]


def test_a_lens_is_taken_out_as_images_are_read(copy: Session) -> None:
    """A point that the lens moved is found where the pinhole camera sees it."""
    camera = copy.camera("0")
    lens = [-0.35, 0.05, 0.004, -0.003, 0.01]
    image, depth = np.zeros((SIZE, SIZE, 3), np.float32), np.zeros((SIZE, SIZE), np.uint16)
    truth = np.array([78.5, 70.5])
    ray = np.linalg.inv(camera.K) @ np.append(truth, 1.0)
    K = camera.K.copy()
    K[:2, 2] -= 0.5  # OpenCV's pixel convention
    seen = cv2.projectPoints(ray[None], np.zeros(3), np.zeros(3), K, np.array(lens))[0].ravel()
    assert np.linalg.norm(seen + 0.5 - truth) > 2.0, "the lens must matter here"
    column, row = np.round(seen).astype(int)
    image[row - 1 : row + 2, column - 1 : column + 2] = 1.0
    depth[row - 1 : row + 2, column - 1 : column + 2] = 20000
    write_image(copy.root / "images/0/000000.png", image)
    assert cv2.imwrite(str(copy.root / "depth/0/000000.png"), depth)
    session = load_session(change(copy, lambda d: d["cameras"][0].update(distortion=lens)))
    bright = session.image(0, "0").sum(-1)
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    found = np.array([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()
    assert np.linalg.norm(found - truth) < 0.75  # the square was drawn on whole pixels
    read = session.depth(0, "0")
    assert read is not None
    # Nearest, never mixed: every depth is the square's or unknown.
    assert set(np.unique(read[0])) == {0.0, 2.0}


def test_a_lens_of_another_model_is_taken_out(copy: Session) -> None:
    """What the recorded image of a fisheye shows at a point is read at the pinhole's point."""
    values = (0.05, -0.02, 0.0, 0.0)
    camera = copy.camera("0")
    ray = np.array([0.25, -0.2])
    seen = distort(Lens("opencv_fisheye", values), ray) * np.diag(camera.K)[:2] + camera.K[:2, 2]
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    image += np.exp(-((columns - seen[0]) ** 2 + (rows - seen[1]) ** 2) / 8)[..., None]
    write_image(copy.root / "images/0/000000.png", image)
    edit = {"lens_model": "opencv_fisheye", "distortion": list(values)}
    session = load_session(change(copy, lambda d: d["cameras"][0].update(edit)))
    bright = session.image(0, "0").sum(-1)
    found = np.array([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()
    assert np.linalg.norm(found - (ray * np.diag(camera.K)[:2] + camera.K[:2, 2])) < 0.1


def test_sessions_of_version_1_are_read(copy: Session) -> None:
    """They have OpenCV's coefficients and no model."""

    def older(d: dict[str, Any]) -> None:
        d["schema_version"] = 1
        for camera in d["cameras"]:
            del camera["lens_model"]
            camera["distortion"] = [0.1, 0.0, 0.0, 0.0]

    session = load_session(change(copy, older))
    assert session.cameras[0].lens == Lens("opencv", (0.1, 0.0, 0.0, 0.0))
    newer = change(copy, lambda d: d["cameras"][0].update(lens_model="fov", distortion=[0.9]))
    with pytest.raises(InputError, match="version 1 has no lens models"):
        load_session(newer)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda d: d["cameras"][0]["K"][0].__setitem__(0, float("nan")), "not finite"),
        (lambda d: d["cameras"][0]["K"][1].__setitem__(1, 0.0), "not a pinhole"),
        (lambda d: d["cameras"][0].update(K=[[0.0] * 3] * 3), "not a pinhole"),
        (lambda d: d["cameras"][0]["K"][0].__setitem__(2, 4000.0), "another image size"),
        (lambda d: d["cameras"][0]["viewmat"][0].__setitem__(3, float("inf")), "not finite"),
        (lambda d: d["cameras"][0].update(viewmat=np.diag([1.0, 1, -1, 1]).tolist()), "mirrors"),
        (lambda d: d["cameras"][0].update(viewmat=np.diag([2.0, 2, 2, 1]).tolist()), "not rigid"),
        (lambda d: d["cameras"][0]["viewmat"][0].__setitem__(0, 1e300), "not rigid"),
        (lambda d: d["cameras"][0]["K"][0].pop(), "different length"),
        (lambda d: d["cameras"][0].update(distortion=[0.1]), "lens"),
        (lambda d: d["cameras"][0].update(distortion=[0.1, 0.0, float("nan"), 0.0]), "lens"),
        (lambda d: d["cameras"][0].update(lens_model="fov", distortion=[0.1, 0.0, 0.0, 0.0]), "lens"),
    ],
)
def test_cameras_that_cannot_be(copy: Session, edit: Callable[[dict[str, Any]], object], says: str) -> None:
    root = change(copy, edit)
    with pytest.raises(CalibrationError, match=says) as caught:
        load_session(root)
    assert "camera 0" in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda d: d.update(schema_version=99), "another version"),
        (lambda d: d["frames"][0]["sources"]["0"].update(time=float("nan")), "time"),
        (lambda d: d["cameras"][0].update(depth_scale=float("inf")), "depth_scale"),
        (lambda d: d.update(units="millimetres"), "another version"),
        (lambda d: d["cameras"][0].update(lens_model="pinhole"), "lens_model"),
        (lambda d: d.update(surprise=1), "surprise"),
        (lambda d: d["cameras"][0].update(width=-4), "width"),
        (lambda d: d["cameras"][0].update(name="../0"), "name"),
        (lambda d: d["cameras"][1].update(name="0"), "names of their own"),
        (lambda d: d["frames"].append(d["frames"][0]), "rising order"),
        (lambda d: d.update(frames=[]), "rising order"),
        (lambda d: d["frames"][0]["sources"].update({"9": {"file": "x.png"}}), "not there"),
        (lambda d: d["frames"][0]["sources"]["0"].update(file="../secret.png"), "outside"),
        (lambda d: d["frames"][0]["sources"]["0"].update(file="/etc/passwd"), "outside"),
        (lambda d: d.update(reference="../../joints.npz"), "outside"),
        (lambda d: d["frames"][0]["sources"]["0"].update(file="a\0b"), "cannot be"),
        (lambda d: d["frames"][0]["sources"]["0"].update(file="a" * 5000), "cannot be"),
        # Names are as long as their bytes, and a path is as long as the folder before it makes it.
        (lambda d: d["frames"][0]["sources"]["0"].update(file="\u00e9" * 240), "cannot be"),
        (lambda d: d["frames"][0]["sources"]["0"].update(file="a/" * 2040 + "b.png"), "cannot be"),
        (lambda d: d["cameras"][0].update(name="a" * 240), "name"),
        (lambda d: d["cameras"][0].update(name="a" * 4096), "name"),
        (lambda d: d["frames"][0].update(index=1e30), "index"),
        (lambda d: d["frames"][0].update(index=-1), "index"),
        (lambda d: d["frames"][0].update(index=2**70), "index"),
        (lambda d: d["frames"][0].update(index=float("nan")), "index"),
        (lambda d: d["frames"][0].update(index=True), "index"),
        (lambda d: d["frames"][0]["sources"]["0"].update(number=2**70), "number"),
        (lambda d: d["cameras"][0]["K"][0].__setitem__(0, True), "K"),
    ],
)
def test_descriptions_that_say_too_much_or_too_little(
    copy: Session, edit: Callable[[dict[str, Any]], object], says: str
) -> None:
    root = change(copy, edit)
    with pytest.raises(InputError, match=says):
        load_session(root)


DAMAGED = {
    "empty": b"",
    "half": b"{",
    "list": b"[]",
    "utf-16": b"\xff\xfe",
    "null": b"null",
    "little": b'{"schema_version": 1}',
    "deep": b'{"about":' * 100_000,
    "long number": b'{"schema_version": ' + b"9" * 5000 + b"}",
    "half a surrogate pair": b'{"units": "\\ud800"}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_description(copy: Session, content: bytes) -> None:
    (copy.root / SESSION_FILE).write_bytes(content)
    with pytest.raises(InputError):
        load_session(copy.root)


def test_no_session_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no session"):
        load_session(tmp_path)


def test_links_do_not_lead_out(copy: Session, tmp_path: Path) -> None:
    outside = tmp_path / "secret.png"
    write_image(outside, np.zeros((SIZE, SIZE, 3), np.float32))
    for part in ("images", "masks", "depth"):
        path = copy.root / part / "0" / "000000.png"
        path.unlink()
        path.symlink_to(outside)
    with pytest.raises(InputError, match="outside"):
        load_session(copy.root)
    with pytest.raises(InputError, match="outside"):
        copy.mask(0, "0")
    with pytest.raises(InputError, match="outside"):
        copy.depth(0, "0")


# Pillow leaves the file of a truncated image to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("part", ["images", "masks", "depth"])
@pytest.mark.parametrize("harm", ["truncated", "missing", "text", "smaller"])
def test_damaged_files_are_named(copy: Session, part: str, harm: str) -> None:
    path = copy.root / part / "1" / "000000.png"
    if harm == "missing":
        path.unlink()
    elif harm == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    elif harm == "text":
        path.write_text("not an image")
    else:
        small = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:50, :50]
        assert cv2.imwrite(str(path), small)
    read = {"images": copy.image, "masks": copy.mask, "depth": copy.depth}[part]
    if harm == "missing" and part != "images":
        assert read(0, "1") is None  # masks and depth are optional
        return
    with pytest.raises(InputError, match=r"1/000000\.png"):
        read(0, "1")


def test_links_that_go_round_and_pipes_are_named(tmp_path: Path) -> None:
    """Found by fuzzing: the first was no error of ours, the second was waited for."""
    session = synthetic_session(tmp_path / "video", cameras=2, frames=2, video=True)
    mask, video = session.root / "masks/0/000000.png", session.root / "videos/0.mp4"
    mask.unlink()
    mask.symlink_to(mask.name)
    with pytest.raises(InputError, match="cannot be"):
        session.mask(0, "0")
    video.unlink()
    os.mkfifo(video)
    with pytest.raises(InputError, match="video is missing"):
        session.image(1, "0")


@pytest.mark.parametrize("part", ["images", "masks", "depth"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "socket"])
def test_what_is_no_file_is_not_waited_for(copy: Session, part: str, kind: str) -> None:
    path = copy.root / part / "0" / "000000.png"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mknod(path, stat.S_IFSOCK | 0o600)
    read = {"images": copy.image, "masks": copy.mask, "depth": copy.depth}[part]
    with pytest.raises(InputError, match=r"missing[\s\S]*0/000000\.png"):
        read(0, "0")
    assert len(load_session(copy.root).fingerprint()) == 64


def test_a_frame_beyond_any_video(tmp_path: Path) -> None:
    session = synthetic_session(tmp_path / "video", cameras=1, frames=2, video=True)
    root = change(session, lambda d: d["frames"][0]["sources"]["0"].update(number=2**62))
    with pytest.raises(InputError, match="ends before"):
        load_session(root).image(0, "0")


@pytest.mark.parametrize(
    "harm",
    [
        "missing",
        "cut off",
        "no zip",
        "pickled",
        "another shape",
        "a key less",
        "much claimed",
        "long header",
        "large",
    ],
)
def test_damaged_references_are_named(copy: Session, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy.root / "joints.npz"
    joints: dict[str, Any] = {
        "names": np.array(["Hip"]),
        "frames": np.arange(2),
        "joints": np.zeros((2, 1, 3)),
    }
    np.savez(path, **joints)
    session = load_session(change(copy, lambda d: d.update(reference="joints.npz")))
    found = session.reference_joints()
    assert found is not None and found[:2] == (("Hip",), (0, 1))
    if harm == "missing":
        path.unlink()
    elif harm == "cut off":
        path.write_bytes(path.read_bytes()[:-30])
    elif harm == "no zip":
        path.write_text("not a zip")
    elif harm == "pickled":
        np.savez(path, **{**joints, "names": np.array([{"a": 1}], dtype=object)})
    elif harm == "another shape":
        np.savez(path, **{**joints, "joints": np.zeros((2, 2, 3))})
    elif harm in ("much claimed", "long header"):
        # 24 TB of joints; a header of more text than any array needs.
        shape = (1 << 40, 1, 3) if harm == "much claimed" else (2, 1, 3)
        blank = " " * (0 if harm == "much claimed" else 60_000)
        text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, {blank}}}\n"
        head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("names", "frames"):
                content = io.BytesIO()
                np.save(content, joints[name])
                archive.writestr(f"{name}.npy", content.getvalue())
            archive.writestr("joints.npy", head + bytes(48))
    elif harm == "large":
        monkeypatch.setattr(reference, "LARGEST_REFERENCE", 300)
    else:
        np.savez(path, names=joints["names"])
    with pytest.raises(InputError, match="reference"):
        session.reference_joints()


def test_eight_bit_depth_is_refused(copy: Session) -> None:
    path = copy.root / "depth/0/000000.png"
    assert cv2.imwrite(str(path), np.zeros((SIZE, SIZE), np.uint8))
    with pytest.raises(InputError, match="16 bit"):
        copy.depth(0, "0")


def test_fewer_cameras_are_as_if_the_others_had_not_been(made: Session) -> None:
    seen = made.with_cameras(["0", "2"])
    assert seen.camera_names == ("0", "2")
    assert all(set(frame.sources) == {"0", "2"} for frame in seen.frames)
    assert not seen.has(0, "1")
    assert made.has(0, "1")
