# ruff: noqa: E501  (a table of one line a mutation is what can be read)
"""Sound captures broken in one known way each: does the preflight name it?

Every mutation says beforehand which codes count as right, and of which camera. A mutation is found if one of those
codes warns or fails there and did not on the sound capture. As a program it prints the table of every capture:

    python -m tests.recon.preflight.mutations SESSION [SESSION ...] [--only NAME] [--show]

Sessions are copied by links; only what is broken is written.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from simulacra.recon.preflight import Check, PersonDetector, Preflight, PreflightConfig, inspect, samples
from simulacra.recon.preflight.samples import NetworkPersonDetector
from simulacra.recon.session import Session, load_session
from simulacra.recon.session.video import iter_video
from simulacra.render.image import read_image, read_mask, read_uint16
from simulacra.render.runtime.errors import UserError

Description = dict[str, Any]


@dataclass(frozen=True)
class Mutation:
    """One way to break a capture.

    Attributes:
        break_it: changes the copy whose folder it is given; the names are of the camera to break and of another one.
        codes: any of these counts as right.
        one: whether the broken camera must be named.
        needs: "depth", "masks", "video" (20 frames or more), "lens", "cameras" (two or more), "three".
    """

    name: str
    break_it: Callable[[Path, str, str], None]
    codes: frozenset[str]
    one: bool
    needs: tuple[str, ...] = ()
    motion: int = 12


# -- breaking --------------------------------------------------------------------------------------


def described(root: Path) -> Description:
    loaded: Description = json.loads((root / "session.json").read_text())
    return loaded


def rewrite(root: Path, content: Description) -> None:
    (root / "session.json").unlink()
    (root / "session.json").write_text(json.dumps(content))


def cameras(change: Callable[[Description], None], one: bool = False) -> Callable[[Path, str, str], None]:
    """Changes the description of all cameras, or of the one to be broken."""

    def break_it(root: Path, name: str, other: str) -> None:
        content = described(root)
        for camera in content["cameras"]:
            if not one or camera["name"] == name:
                change(camera)
        rewrite(root, content)

    return break_it


def pose(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Description], None]:
    def on_camera(camera: Description) -> None:
        camera["viewmat"] = change(np.array(camera["viewmat"])).tolist()

    return on_camera


def intrinsics(change: Callable[[np.ndarray, Description], None]) -> Callable[[Description], None]:
    def on_camera(camera: Description) -> None:
        K = np.array(camera["K"])
        change(K, camera)
        camera["K"] = K.tolist()

    return on_camera


def scaled(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(viewmat: np.ndarray) -> np.ndarray:
        viewmat[:3, 3] *= factor
        return viewmat

    return change


def transposed(viewmat: np.ndarray) -> np.ndarray:
    viewmat[:3, :3] = viewmat[:3, :3].T
    return viewmat


def turn(axis: str, degrees: float) -> np.ndarray:
    vector = np.zeros(3)
    vector["xyz".index(axis)] = np.radians(degrees)
    T = np.eye(4)
    T[:3, :3] = cv2.Rodrigues(vector)[0]
    return T


def moved(viewmat: np.ndarray) -> np.ndarray:
    """5 cm along the camera's x."""
    viewmat[0, 3] += 0.05
    return viewmat


def swap_calibrations(root: Path, name: str, other: str) -> None:
    content = described(root)
    a, b = (next(c for c in content["cameras"] if c["name"] == n) for n in (name, other))
    for key in ("K", "viewmat", "distortion"):
        a[key], b[key] = b[key], a[key]
    rewrite(root, content)


def focal(factor: float) -> Callable[[Description], None]:
    def change(K: np.ndarray, camera: Description) -> None:
        K[0, 0] *= factor
        K[1, 1] *= factor

    return intrinsics(change)


def principal(change: Callable[[float, float], tuple[float, float]]) -> Callable[[Description], None]:
    def on(K: np.ndarray, camera: Description) -> None:
        K[0, 2], K[1, 2] = change(K[0, 2], K[1, 2])

    return intrinsics(on)


def lens(factor: float) -> Callable[[Description], None]:
    def change(camera: Description) -> None:
        camera["distortion"] = [v * factor for v in camera["distortion"]] if factor else None
        if not factor:
            camera["lens_model"] = None

    return change


def pictures(
    change: Callable[[np.ndarray], np.ndarray], every: bool = False, masks: bool = False
) -> Callable[[Path, str, str], None]:
    """Changes RGB pictures (uint8), and masks and depth with them where these are turned too."""

    def break_it(root: Path, name: str, other: str) -> None:
        content = described(root)
        for camera in content["cameras"]:
            if every or camera["name"] == name:
                _rewrite_pictures(root, content, camera["name"], change)
        rewrite(root, content)

    return break_it


def _wanted(content: Description, name: str, motion: int = 12) -> list[Description]:
    """Frames that a preflight of so many consecutive frames looks at."""
    frames = content["frames"]
    start = max(0, (len(frames) - motion) // 2)
    kept = set(samples.linspace_indices(len(frames), 3)) | set(range(start, min(len(frames), start + motion)))
    return [frames[k] for k in sorted(kept) if name in frames[k]["sources"]]


def _rewrite_pictures(
    root: Path, content: Description, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    for frame, pixels in _decoded(root, _wanted(content, name), name):
        target = f"images/{name}/changed_{frame['index']:06d}.jpg"
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        changed = np.ascontiguousarray(change(pixels.copy())[..., ::-1])
        cv2.imwrite(str(root / target), changed, [cv2.IMWRITE_JPEG_QUALITY, 97])
        frame["sources"][name] |= {"file": target, "number": None}


def _decoded(root: Path, frames: list[Description], name: str) -> Iterator[tuple[Description, np.ndarray]]:
    sources = [frame["sources"][name] for frame in frames]
    if sources[0]["number"] is None:
        for frame, source in zip(frames, sources):
            yield frame, np.round(read_image(root / source["file"]) * 255).astype(np.uint8)
    else:
        numbers = [source["number"] for source in sources]
        yield from zip(frames, iter_video(root / sources[0]["file"], numbers))


def resized_without_K(root: Path, name: str, other: str) -> None:
    """Pictures, masks and depth of half the size, the description's size with them, K as it was."""

    def half(pixels: np.ndarray) -> np.ndarray:
        return cv2.resize(pixels, (pixels.shape[1] // 2, pixels.shape[0] // 2), interpolation=cv2.INTER_AREA)

    content = described(root)
    camera = next(c for c in content["cameras"] if c["name"] == name)
    _rewrite_pictures(root, content, name, half)
    camera["width"] //= 2
    camera["height"] //= 2
    # A principal point beyond the picture would be refused when the session is loaded.
    for kind in ("masks", "depth"):
        for path in (root / kind / name).glob("*.png"):
            values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            path.unlink()
            cv2.imwrite(str(path), values[::2, ::2])
    rewrite(root, content)


def turned_size(root: Path, name: str, other: str) -> None:
    pictures(lambda p: cv2.resize(p, (p.shape[1] // 2, p.shape[0] // 2)))(root, name, other)


def quarter(pixels: np.ndarray) -> np.ndarray:
    """A quarter turn: of another size than described unless the picture is square."""
    return np.rot90(pixels)


def gamma(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(pixels: np.ndarray) -> np.ndarray:
        return ((pixels / 255.0) ** value * 255).astype(np.uint8)

    return change


def gains(r: float, g: float, b: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(pixels: np.ndarray) -> np.ndarray:
        return np.clip(pixels * np.array([r, g, b]), 0, 255).astype(np.uint8)

    return change


def noisy(pixels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 20, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def depth_scale(factor: float) -> Callable[[Description], None]:
    def change(camera: Description) -> None:
        camera["depth_scale"] *= factor

    return change


def depth_files(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, str, str], None]:
    def break_it(root: Path, name: str, other: str) -> None:
        for path in sorted((root / "depth" / name).glob("*.png")):
            values = change(read_uint16(path))
            path.unlink()
            cv2.imwrite(str(path), values)

    return break_it


def holes(depth: np.ndarray) -> np.ndarray:
    """Four fifths of the rows are lost."""
    depth[np.arange(len(depth)) % 5 != 0] = 0
    return depth


def of_other(kind: str) -> Callable[[Path, str, str], None]:
    def break_it(root: Path, name: str, other: str) -> None:
        for path in sorted((root / kind / name).glob("*.png")):
            path.unlink()
            shutil.copy(root / kind / other / path.name, path)

    return break_it


def depth_of_another_frame(root: Path, name: str, other: str) -> None:
    """The person a step (a quarter of a metre or so) aside and further: what another moment of a walk would be."""
    content = described(root)
    camera = next(c for c in content["cameras"] if c["name"] == name)
    many = len(content["frames"]) > 1
    paths = sorted((root / "depth" / name).glob("*.png"))
    stored = [read_uint16(path) for path in paths]
    for k, path in enumerate(paths):
        if many:
            values = stored[(k + len(stored) // 2) % len(stored)]
        else:
            step = int(0.25 * camera["K"][0][0] / 1.4)
            values = np.roll(stored[k], step, axis=1)
            values[values > 0] += int(0.12 * camera["depth_scale"])
        path.unlink()
        cv2.imwrite(str(path), values)


def mask_files(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, str, str], None]:
    def break_it(root: Path, name: str, other: str) -> None:
        for path in sorted((root / "masks" / name).glob("*.png")):
            values = change(read_mask(path))
            path.unlink()
            cv2.imwrite(str(path), np.round(255 * values).astype(np.uint8))

    return break_it


def swap_pictures(root: Path, name: str, other: str) -> None:
    """Everything that the two recorded, under each other's name."""
    content = described(root)
    for frame in content["frames"]:
        sources = frame["sources"]
        if name in sources and other in sources:
            sources[name], sources[other] = sources[other], sources[name]
    a, b = (next(c for c in content["cameras"] if c["name"] == n) for n in (name, other))
    for key in ("width", "height"):
        a[key], b[key] = b[key], a[key]
    for kind in ("masks", "depth"):
        if (root / kind / name).is_dir():
            (root / kind / name).rename(root / kind / "aside")
            (root / kind / other).rename(root / kind / name)
            (root / kind / "aside").rename(root / kind / other)
    rewrite(root, content)


def truncated(root: Path, name: str, other: str) -> None:
    content = described(root)
    path = root / content["frames"][-1]["sources"][name]["file"]
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[: int(0.6 * len(whole))])


def missing(root: Path, name: str, other: str) -> None:
    content = described(root)
    (root / content["frames"][0]["sources"][name]["file"]).unlink()


def sources(
    change: Callable[[list[Description]], list[Description | None]],
) -> Callable[[Path, str, str], None]:
    """Another order of what the broken camera recorded; times stay with the frames. None is not recorded."""

    def break_it(root: Path, name: str, other: str) -> None:
        content = described(root)
        frames = [frame for frame in content["frames"] if name in frame["sources"]]
        times = [frame["sources"][name]["time"] for frame in frames]
        changed = change([dict(frame["sources"][name]) for frame in frames])
        for frame, source, when in zip(frames, changed, times):
            if source is None:
                del frame["sources"][name]
            else:
                frame["sources"][name] = source | {"time": when}
        rewrite(root, content)

    return break_it


def shifted(frames: int) -> Callable[[list[Description]], list[Description | None]]:
    """Late by so many frames: the first ones show what was before, here the first frame."""
    return lambda old: [old[max(0, k - frames)] for k in range(len(old))]


def dropped_unsaid(old: list[Description]) -> list[Description | None]:
    """A tenth is lost in the middle, and what follows moves up."""
    lost = max(3, len(old) // 10)
    middle = len(old) // 2
    rest = old[:middle] + old[middle + lost :]
    return rest + [rest[-1]] * lost


def shuffled(old: list[Description]) -> list[Description | None]:
    return [old[k] for k in np.random.default_rng(0).permutation(len(old))]


def by_name(old: list[Description]) -> list[Description | None]:
    """1, 10, 11, ..., 19, 2, 20: numbers sorted as text."""
    return [old[k] for k in sorted(range(len(old)), key=str)]


def times_back(root: Path, name: str, other: str) -> None:
    content = described(root)
    for frame in content["frames"]:
        if name in frame["sources"]:
            frame["sources"][name]["time"] = -float(frame["index"])
    rewrite(root, content)


POSE = frozenset({"camera-pose", "depth-pose", "epipolar", "reprojection"})
UNITS = frozenset({"stature", "camera-distance", "camera-apart", "depth-scale"})
DEPTH_ELSEWHERE = frozenset(
    {"depth-frame", "depth-registration", "depth-agreement", "depth-overlap", "depth-scale", "depth-pose"}
)
CONVENTION = frozenset({"pose-convention"})


def _set(*codes: str) -> frozenset[str]:
    return frozenset(codes)


MUTATIONS = (
    Mutation("calibrations of two cameras exchanged", swap_calibrations, _set("camera-order"), True, ("three",)),
    Mutation("pictures of two cameras exchanged", swap_pictures, _set("camera-order"), True, ("three",)),
    Mutation("positions x 10", cameras(pose(scaled(10))), UNITS, False, ("cameras",)),
    Mutation("positions x 1000 (mm)", cameras(pose(scaled(1000))), UNITS, False, ("cameras",)),
    Mutation("positions x 0.01", cameras(pose(scaled(0.01))), UNITS, False, ("cameras",)),
    Mutation("world axis flipped", cameras(pose(lambda V: V @ np.diag([1.0, 1, -1, 1]))), _set("rotation", "calibration"), False),
    Mutation("camera axis flipped (y)", cameras(pose(lambda V: np.diag([1.0, -1, 1, 1]) @ V), one=True), _set("rotation", "calibration"), False),
    Mutation("rotations transposed", cameras(pose(transposed)), CONVENTION, False, ("three",)),
    Mutation("rotation of one transposed", cameras(pose(transposed), one=True), CONVENTION | POSE, True, ("three",)),
    Mutation("camera to world", cameras(pose(np.linalg.inv)), CONVENTION, False, ("cameras",)),
    Mutation("one camera to world", cameras(pose(np.linalg.inv), one=True), CONVENTION, True, ("three",)),
    Mutation("OpenGL axes", cameras(pose(lambda V: np.diag([1.0, -1, -1, 1]) @ V)), CONVENTION, False, ("cameras",)),
    Mutation("up axis wrong", cameras(pose(lambda V: V @ turn("x", 90))), _set("person-upright", "up-axis"), False, ("cameras",)),
    Mutation("one turned by 1 degree", cameras(pose(lambda V: turn("y", 1) @ V), one=True), POSE, True, ("three",)),
    Mutation("one moved by 5 cm", cameras(pose(moved), one=True), POSE, True, ("three",)),
    Mutation("one focal length 2 % off", cameras(focal(1.02), one=True), POSE | {"depth-focal", "image-scale"}, True, ("three",)),
    Mutation("half a pixel off", cameras(principal(lambda x, y: (x + 0.5, y + 0.5))), POSE | {"principal-point"}, False, ("three",)),
    Mutation("principal point of half the image", cameras(principal(lambda x, y: (x / 2, y / 2)), one=True), POSE | {"principal-point", "image-scale"}, True, ("cameras",)),
    Mutation("cx and cy exchanged", cameras(principal(lambda x, y: (y, x)), one=True), POSE | {"principal-point"}, True, ("three",)),
    Mutation("resized without K", resized_without_K, _set("image-scale", "principal-point", "calibration"), True, ("three",)),
    Mutation("pictures of another size", turned_size, _set("image-size"), True),
    Mutation("distortion dropped", cameras(lens(0)), _set("lens-match"), False, ("lens", "three")),
    Mutation("distortion doubled", cameras(lens(2)), _set("lens-match", "lens"), False, ("lens", "three")),
    Mutation("BGR in one camera", pictures(lambda p: p[..., ::-1]), _set("channel-order"), True),
    Mutation("BGR in all cameras", pictures(lambda p: p[..., ::-1], every=True), _set("channel-order"), False),
    Mutation("one picture turned by 180", pictures(lambda p: p[::-1, ::-1]), _set("image-turned"), True),
    Mutation("one picture turned by 90", pictures(quarter), _set("image-turned", "image-size"), True),
    Mutation("one picture mirrored", pictures(lambda p: p[:, ::-1]), _set("image-mirrored"), True, ("three",)),
    Mutation("gamma in one camera", pictures(gamma(2.2)), _set("contrast-match", "brightness-match"), True, ("cameras",)),
    Mutation("one lens out of focus", pictures(lambda p: cv2.GaussianBlur(p, (0, 0), 4)), _set("blur"), True),
    Mutation("one camera overexposed", pictures(gains(4, 4, 4)), _set("clipping", "exposure"), True),
    Mutation("one camera black", pictures(lambda p: p // 64), _set("exposure", "person-visible", "clipping"), True),
    Mutation("color cast in one camera", pictures(gains(1.35, 1, 0.65)), _set("color-match"), True, ("cameras",)),
    Mutation("noise in one camera", pictures(noisy), _set("noise"), True),
    Mutation("depth in mm read as 0.1 mm", cameras(depth_scale(10)), _set("stature", "depth-scale"), False, ("depth",)),
    Mutation("depth in 0.1 mm read as mm", cameras(depth_scale(0.1)), _set("stature", "depth-scale"), False, ("depth",)),
    Mutation("depth of another frame", depth_of_another_frame, DEPTH_ELSEWHERE, True, ("depth",)),
    Mutation("depth of another camera", of_other("depth"), DEPTH_ELSEWHERE, True, ("depth", "cameras")),
    Mutation("depth 10 px beside color", depth_files(lambda d: np.roll(d, 10, axis=1)), _set("depth-registration"), True, ("depth",)),
    Mutation("depth full of holes", depth_files(holes), _set("depth-holes"), True, ("depth",)),
    Mutation("masks of another camera", of_other("masks"), _set("mask-keypoints", "mask-hull", "mask-agreement"), True, ("masks", "cameras")),
    Mutation("masks inverted", mask_files(lambda m: 1 - m), _set("mask-keypoints", "mask-hull", "person-visible"), True, ("masks",)),
    Mutation("masks empty", mask_files(lambda m: 0 * m), _set("person-visible"), True, ("masks",)),
    Mutation("a file cut off", truncated, _set("storage"), True),
    Mutation("a file missing", missing, _set("storage"), True),
    Mutation("frames missing", sources(lambda old: [None if k % 4 == 1 else s for k, s in enumerate(old)]), _set("missing-frames"), True, ("frames",)),
    Mutation("late by 3 frames", sources(shifted(3)), _set("time-offset"), True, ("video", "cameras"), 100),
    Mutation("early by 3 frames", sources(lambda old: [*old[3:], *[old[-1]] * 3]), _set("time-offset"), True, ("video", "cameras"), 100),
    Mutation("frames dropped unsaid", sources(dropped_unsaid), _set("time-offset", "frozen-frames", "frame-order"), True, ("video", "cameras"), 100),
    Mutation("every other frame doubled", sources(lambda old: [old[k // 2 * 2] for k in range(len(old))]), _set("frozen-frames"), True, ("frames",)),
    Mutation("frames shuffled", sources(shuffled), _set("frame-order"), True, ("frames",)),
    Mutation("frames sorted as text", sources(by_name), _set("frame-order"), True, ("video",)),
    Mutation("times run backwards", times_back, _set("timestamps"), True, ("frames",)),
)  # fmt: skip


# -- counting --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """Whether a mutation was named: the checks that did, and all that were not passed."""

    mutation: str
    named: tuple[Check, ...]
    others: tuple[Check, ...]
    seconds: float


def kinds_of(session: Session) -> set[str]:
    """What of ``Mutation.needs`` a session has."""
    kinds = set()
    first = session.frames[0]
    if all(camera.depth_scale is not None for camera in session.cameras):
        kinds.add("depth")
    if session.mask(first.index, session.camera_names[0]) is not None:
        kinds.add("masks")
    if any(camera.lens is not None for camera in session.cameras):
        kinds.add("lens")
    kinds |= {"cameras"} if len(session.cameras) > 1 else set()
    kinds |= {"three"} if len(session.cameras) > 2 else set()
    kinds |= {"frames"} if len(session.frames) >= 8 else set()
    kinds |= {"video"} if len(session.frames) >= 20 else set()
    return kinds


def checked(root: Path, motion: int, detector: PersonDetector) -> Preflight:
    """The preflight, or what loading the session refused, by its code."""
    try:
        session = load_session(root)
    except UserError as error:
        return Preflight((Check(error.code, "all cameras", 1.0, "", "", "fail", str(error)),))
    return inspect(session, settings=PreflightConfig(motion_frames=motion), detector=detector).record


def judge(
    root: Path, mutation: Mutation, baseline: Preflight, name: str, other: str, detector: PersonDetector
) -> Verdict:
    """Breaks a copy and looks whether that was named."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        copy = Path(folder) / "session"
        shutil.copytree(root, copy, copy_function=os.link)
        mutation.break_it(copy, name, other)
        found = checked(copy, mutation.motion, detector)
    before = {(c.code, place) for c in baseline.checks if c.status != "pass" for place in c.places}
    stopped = {c.code for c in baseline.checks if c.status == "fail"}
    measured = {(c.code, c.places[0]): c.measured for c in baseline.checks}

    def new(check: Check) -> bool:
        places = [p for p in check.places if (check.code, p) not in before]
        worse = check.status == "fail" and check.code not in stopped
        # A camera that was doubtful already is named anew by half as much again: its clock was late by another amount.
        old = measured.get((check.code, check.places[0]))
        changed = old is not None and abs(check.measured - old) > 0.5 * abs(old)
        return check.status != "pass" and (bool(places) or worse or changed)

    def right(check: Check) -> bool:
        return check.code in mutation.codes and (not mutation.one or name in check.places)

    fresh = [check for check in found.checks if new(check)]
    named = tuple(check for check in fresh if right(check))
    others = tuple(check for check in fresh if check not in named)
    return Verdict(mutation.name, named, others, time.perf_counter() - start)


@contextmanager
def cached_looks() -> Iterator[None]:
    """Cameras whose files and description are the same links are looked at once."""
    original, kept = samples._sample_camera, {}

    def cached(session, name, chosen, moving, detector, problems, bar):  # type: ignore[no-untyped-def]
        wanted = sorted({*chosen, *moving})
        key: list[object] = [name, tuple(chosen), tuple(moving)]
        camera = session.camera(name)
        key += [camera.width, camera.height]
        for frame in wanted:
            source = session.frame(frame).sources.get(name)
            for file in (source.file if source else "", f"masks/{name}/{frame:06d}.png"):
                path = session.root / file
                if path.is_file() and source:
                    state = path.stat()
                    key.append((state.st_ino, state.st_mtime_ns, state.st_size, source.number))
                else:
                    key.append(file)
        place = json.dumps(key, default=str)
        if place not in kept:
            count = len(problems.found)
            seen = original(session, name, chosen, moving, detector, problems, bar)
            if len(problems.found) > count:
                return seen
            kept[place] = seen
        return replace(kept[place])

    samples._sample_camera = cached
    try:
        yield
    finally:
        samples._sample_camera = original


def run(root: Path, only: str = "", show: bool = False) -> tuple[int, int, Preflight]:
    """Prints the table of one session; gives how many were named, of how many, and the sound one's preflight."""
    detector = NetworkPersonDetector()
    session = load_session(root)
    kinds = kinds_of(session)
    name, other = session.camera_names[min(1, len(session.cameras) - 1)], session.camera_names[-1]
    chosen = [m for m in MUTATIONS if set(m.needs) <= kinds and only in m.name]
    with cached_looks():
        baselines = {motion: checked(root, motion, detector) for motion in sorted({m.motion for m in chosen})}
        sound = baselines[max(baselines)]
        print(f"== {root.name}: fails unbroken: {[c.line() for c in sound.failed()] or 'nothing'}")
        print(
            "   warns unbroken: "
            + ", ".join(f"{c.code} ({c.where})" for c in sound.checks if c.status == "warn")
        )
        named = 0
        for mutation in chosen:
            verdict = judge(root, mutation, baselines[mutation.motion], name, other, detector)
            named += bool(verdict.named)
            said = ", ".join(f"{c.code} {c.status}" for c in verdict.named) or "NOT NAMED"
            print(f"{'ok ' if verdict.named else '-- '} {mutation.name:38s} {verdict.seconds:5.1f} s  {said}"
                  f" | also {', '.join(c.code for c in verdict.others) or 'nothing'}", flush=True)  # fmt: skip
            if show:
                for check in (*verdict.named, *verdict.others):
                    print("      " + check.line())
    print(f"== {root.name}: {named} of {len(chosen)} named", flush=True)
    return named, len(chosen), sound


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sessions", nargs="+", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    totals = [run(root, given.only, given.show) for root in given.sessions]
    named, count = sum(t[0] for t in totals), sum(t[1] for t in totals)
    print(f"all: {named} of {count} named; {sum(bool(t[2].failed()) for t in totals)} sound captures fail")
    return 0


if __name__ == "__main__":
    sys.exit(main())
