"""What the checks are made of: light, order of pictures, hulls, surfaces, outlines, each against a known answer."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.preflight.depth_pose import align, check_depth_pose
from simulacra.recon.preflight.depths import surface_points
from simulacra.recon.preflight.light import _may_be_skin, check_light, match_colors, measure_light
from simulacra.recon.preflight.masks import SmallMask, hull_coverage
from simulacra.recon.preflight.reading import Problems, check_files
from simulacra.recon.preflight.record import Check, check_values
from simulacra.recon.preflight.registration import outline_shift
from simulacra.recon.preflight.times import _astray, _frozen_share, picture_differences
from tests.recon.ellipsoid_person import picture, ring, synthetic_session

SIDE = 256


def textured(seed: int = 0) -> np.ndarray:
    """Detail in every octave, as pictures have."""
    generator = np.random.default_rng(seed)
    total = np.zeros((SIDE, SIDE, 3))
    for octave in range(7):
        side = SIDE >> octave
        noise = generator.standard_normal((side, side, 3))
        total += cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 14 * total, 0, 255).astype(np.uint8)


def landmarks() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    return generator.uniform(20, SIDE - 20, (33, 2)).astype(np.float32), np.ones(33, np.float32)


def seen(pixels: np.ndarray):  # type: ignore[no-untyped-def]
    return (measure_light(pixels, None, *landmarks()),)


def of(checks: list[Check], code: str) -> Check:
    return next(check for check in checks if check.code == code)


def colorful() -> np.ndarray:
    """Broad patches, red over blue, dark to bright."""
    tones = 2.0 ** np.random.default_rng(1).uniform(-2.0, -0.1, (8, 8, 1)) * np.array([1.0, 0.8, 0.6])
    return np.round(255 * cv2.resize(tones, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)).astype(np.uint8)


def test_cameras_alike_pass() -> None:
    checks = check_light({name: seen(textured(k)) for k, name in enumerate("abc")})
    assert {c.status for c in checks if c.code in ("blur", "exposure", "clipping")} == {"pass"}
    checks = check_light({name: seen(colorful()) for name in "abc"})
    assert all(of(checks, c).status == "pass" for c in ("brightness-match", "contrast-match", "color-match"))


@pytest.mark.parametrize(("sigma", "status"), [(0.4, "pass"), (3.0, "warn")])
def test_a_blurred_camera_is_named(sigma: float, status: str) -> None:
    stats = {name: seen(textured(k)) for k, name in enumerate("abc")}
    stats["b"] = seen(cv2.GaussianBlur(textured(1), (0, 0), sigma))
    check = of(check_light(stats), "blur")
    assert check.status == status and (status == "pass" or check.where == "b")


def test_noise_is_measured_in_flat_parts() -> None:
    flat = np.full((SIDE, SIDE, 3), 120, np.uint8)
    noisy = np.clip(flat + np.random.default_rng(0).normal(0, 10, (SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    assert seen(flat)[0].noise == pytest.approx(0, abs=1e-3)
    assert seen(noisy)[0].noise == pytest.approx(10 / 255, rel=0.25)
    assert of(check_light({"a": seen(flat), "b": seen(noisy)}), "noise").where == "b"


def test_exposure_gamma_and_tint_are_told_apart() -> None:
    plain = {name: seen(colorful()) for name in "abc"}
    darker = match_colors(plain | {"b": seen((colorful() * 0.5).astype(np.uint8))})["b"]
    assert darker.offset == pytest.approx(-1, abs=0.12) and darker.chroma < 0.1
    bent = (255 * (colorful() / 255.0) ** 2.2).astype(np.uint8)
    assert match_colors(plain | {"b": seen(bent)})["b"].slope == pytest.approx(np.log2(2.2), abs=0.4)
    tinted = np.clip(colorful() * np.array([1.0, 1.0, 0.6]), 0, 255).astype(np.uint8)
    checks = check_light(plain | {"b": seen(tinted)})
    assert (of(checks, "color-match").status, of(checks, "color-match").where) == ("warn", "b")


def test_exchanged_channels_are_named_by_skin_and_by_the_others() -> None:
    plain = {name: seen(colorful()) for name in "abc"}
    assert of(check_light(plain), "channel-order").status == "pass"
    check = of(check_light(plain | {"c": seen(colorful()[..., ::-1])}), "channel-order")
    assert (check.status, check.where) == ("fail", "c")
    everyone = check_light({name: seen(colorful()[..., ::-1]) for name in "abc"})
    assert of(everyone, "channel-order").status == "fail"


def test_hair_from_behind_is_no_skin_of_exchanged_channels() -> None:
    """Dark hair is a little bluer than red; exchanged it is nowhere near as red as the skin of the others."""
    behind = replace(seen(colorful())[0], skin=np.array([0.10, 0.11, 0.13]))
    grey = np.full_like(behind.parts, 0.5)
    stats = {name: (replace(seen(colorful())[0], parts=grey),) for name in "abcd"}
    stats["b"] = (replace(behind, parts=grey),)
    assert of(check_light(stats), "channel-order").status == "pass"
    skin = stats["a"][0].skin
    assert skin is not None
    stats["b"] = (replace(behind, skin=skin[::-1].copy(), parts=grey),)
    check = of(check_light(stats), "channel-order")
    assert (check.status, check.where) == ("fail", "b")


def test_what_may_be_skin() -> None:
    """Of all tones, in the light of bulbs too, and exchanged; not of cyan gloves that are yellow when exchanged."""
    for skin in ([0.90, 0.75, 0.68], [0.30, 0.20, 0.15], [0.62, 0.38, 0.19], [0.45, 0.43, 0.42]):
        assert _may_be_skin(np.array(skin)) and _may_be_skin(np.array(skin[::-1]))
    for other in ([0.03, 0.38, 0.46], [0.46, 0.38, 0.03], [0.2, 0.5, 0.2], [0.8, 0.1, 0.5]):
        assert not _may_be_skin(np.array(other))


def walk(frames: int = 20) -> np.ndarray:
    """A bright disc that crosses a picture with a little noise."""
    generator = np.random.default_rng(0)
    thumbs = np.zeros((frames, 48, 64))
    for k in range(frames):
        cv2.circle(thumbs[k], (8 + 2 * k, 24), 6, 200.0, -1)
    return np.clip(40 + thumbs + generator.normal(0, 1.0, thumbs.shape), 0, 255).astype(np.uint8)


def test_pictures_in_order_pass_and_shuffled_or_doubled_ones_do_not() -> None:
    ordered = walk()
    table = picture_differences(ordered)
    assert _astray(table) == 0 and _frozen_share("a", {"a": table}) == 0
    shuffled = ordered[np.random.default_rng(1).permutation(len(ordered))]
    assert _astray(picture_differences(shuffled)) > 0.3
    doubled = ordered[np.arange(len(ordered)) // 2 * 2]
    assert _frozen_share("a", {"a": picture_differences(doubled)}) == pytest.approx(0.5, abs=0.06)
    still = np.repeat(ordered[:1], len(ordered), axis=0)
    assert _frozen_share("a", {"a": picture_differences(still)}) == 0  # nobody moves anywhere
    assert _frozen_share("a", {"a": picture_differences(still), "b": table}) == 1


def steps(sizes: np.ndarray) -> np.ndarray:
    """Differences of pictures of something that goes along a line by these steps."""
    places = np.concatenate([[0.0], np.cumsum(sizes)])
    return np.abs(places[:, None] - places[None])


def test_a_pause_is_no_frozen_picture_and_a_repeated_frame_is() -> None:
    ease = 0.5 + 0.5 * np.cos(np.linspace(0, 2 * np.pi, 30))
    pausing = np.where(ease < 0.02, 0.0, 4 * ease)  # as a video codec shows what hardly moves
    assert (pausing == 0).sum() >= 2
    both = {"a": steps(pausing), "b": steps(0.7 * pausing)}
    assert _frozen_share("a", both) == _frozen_share("b", both) == 0
    stuck = pausing.copy()
    stuck[3:8] = 0.0
    assert _frozen_share("a", {"a": steps(stuck), "b": steps(pausing)}) == pytest.approx(5 / 30)
    # One repeated picture in all cameras at once, amid motion.
    hiccup = pausing.copy()
    hiccup[4] = 0.0
    assert _frozen_share("a", {"a": steps(hiccup), "b": steps(hiccup)}) == pytest.approx(1 / 30)


def test_what_comes_by_the_same_place_twice_is_in_order() -> None:
    raised = np.round(12 * np.sin(np.linspace(0, np.pi, 25))).astype(int)
    generator = np.random.default_rng(2)
    thumbs = np.zeros((len(raised), 48, 96))
    for k, at in enumerate(raised):
        cv2.circle(thumbs[k], (48, 36 - int(at) * 2), 4, 200.0, -1)
    up_and_down = np.clip(40 + thumbs + generator.normal(0, 1.0, thumbs.shape), 0, 255).astype(np.uint8)
    assert _astray(picture_differences(up_and_down)) < 0.1
    shuffled = up_and_down[np.random.default_rng(1).permutation(len(raised))]
    assert _astray(picture_differences(shuffled)) > 0.3


def test_hulls_cover_masks_and_blame_the_one_that_is_wrong() -> None:
    cameras = ring(6, SIDE)
    masks = [
        SmallMask(c, cv2.resize(picture(c)[1], (128, 128), interpolation=cv2.INTER_AREA) > 0.3, 0.5)
        for c in cameras
    ]
    covered, _ = hull_coverage(masks)
    assert covered.min() > 0.95
    wrong = list(masks)
    wrong[2] = replace(masks[2], inside=np.roll(masks[2].inside, 25, axis=1))
    covered, blame = hull_coverage(wrong)
    assert covered.min() < 0.8 and int(blame.argmax()) == 2


def test_a_moved_surface_and_a_stretched_one_are_measured() -> None:
    cameras = ring(6, SIDE)
    points = []
    for camera in cameras:
        _, mask, depth = picture(camera)
        points.append(surface_points(camera, depth, mask > 0.5))
    others = np.concatenate(points[:2] + points[3:])
    straight = align(cameras[2], points[2][::2], others)
    assert straight is not None and np.linalg.norm(straight[0][3:6]) < 0.006
    moved = align(cameras[2], points[2][::2] + np.array([0.04, 0.0, 0.0]), others)
    assert moved is not None and np.linalg.norm(moved[0][3:6]) == pytest.approx(0.04, abs=0.008)
    # Cameras on different sides of the person have no surface in common: nothing is measured.
    apart = [(cameras[k], points[k]) for k in (0, 2, 4)]
    assert check_depth_pose([apart]) == []
    assert check_depth_pose([list(zip(cameras, points))])[0].status == "pass"
    assert align(cameras[2], points[2] + np.array([5.0, 0, 0]), others) is None


def test_a_shift_of_depth_against_its_mask_is_measured() -> None:
    camera = ring(1, SIDE)[0]
    _, mask, depth = picture(camera)
    assert outline_shift(mask > 0.5, depth)[:2] == (0.0, 0.0)
    x, y, overlap = outline_shift(mask > 0.5, np.roll(depth, (3, 8), axis=(0, 1)))
    assert (x * SIDE, y * SIDE) == (pytest.approx(8, abs=1), pytest.approx(3, abs=1)) and overlap > 0.9


def test_files_that_were_cut_off_are_found_among_all(tmp_path: Path) -> None:
    session = synthetic_session(tmp_path / "s", cameras=2, frames=3)
    sound = Problems()
    assert check_files(session, sound) == 18 and not sound.found
    for name in ("images/1/000001.png", "masks/0/000002.png", "depth/1/000000.png"):
        path = session.root / name
        path.write_bytes(path.read_bytes()[:-40])
    cut = Problems()
    check_files(session, cut)
    assert sorted(problem.camera for problem in cut.found.values()) == ["0", "1", "1"]


def test_a_judged_check_names_all_beyond_the_limit_worst_first() -> None:
    values = {"a": 1.0, "b": 5.0, "c": 3.0}
    (check,) = check_values("noise", values, warn=lambda v: v > 2, unit="", limit="<= 2", remedy="")
    assert (check.status, check.where, check.measured, check.places) == ("warn", "b, c", 5.0, ("b", "c"))
    (check,) = check_values("noise", values, warn=lambda v: v > 9, unit="", limit="<= 9", remedy="")
    assert (check.status, check.where) == ("pass", "b")
    assert check_values("noise", {}, warn=lambda v: True, unit="", limit="", remedy="") == []
