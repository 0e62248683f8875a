"""Which known mistake, undone, makes the cameras agree.

Cameras that do not put the body at one place say that something is wrong, not what. So the mistakes that people make
are undone one by one (a pose of another convention, two cameras' calibrations exchanged, a picture turned, in a mirror,
of another size, a lens taken out twice), in all cameras and in each: the one that brings the disagreement down to what
cameras of a sound session have is named. Nothing is repaired: this is for the message.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from simulacra.recon.preflight.bodies import (
    LOST,
    MIRROR,
    BodyAgreement,
    PersonViews,
    measure_agreement,
    person_scale,
    project,
    robust_mean,
    rough_errors,
    undistort_pixels,
)
from simulacra.recon.preflight.samples import rotate_back

# Typical distance of a body's landmarks to where the other cameras put them, share of its height: detectors err by 1 to
# 2 % (a limb's half width); beyond 6 % a forearm lies beside the forearm, and nothing fits.
SOUND, WRONG = 0.035, 0.06
# A mistake is named if undoing it removes so much of the disagreement, and leaves little.
GAIN = 0.25
# The same where no camera is clearly wrong; and how much worse than the others' a camera's error must be to be odd.
CLEAR_GAIN, ODD = 0.4, 1.4
# Mistakes that are looked at closely after all have been looked at roughly.
LIKELIEST = 6
# Factors from pictures of another size to those that were calibrated.
SIZES = (0.5, 2 / 3, 0.75, 4 / 3, 1.5, 2.0)

Points = Float[np.ndarray, "t k 2"]
# A camera's landmarks as they would be without a mistake, and whether left and right are to be exchanged.
Change = Callable[[PersonViews, int], tuple[Points, bool]]


@dataclass(frozen=True)
class Mistake:
    """Something that may have gone wrong, and the views as they would be without."""

    code: str
    cameras: tuple[str, ...]
    said: str
    undo: Callable[[PersonViews], PersonViews]


@dataclass(frozen=True)
class Diagnosis:
    """A mistake that explains the disagreement; errors are shares of the body's height."""

    mistake: Mistake
    before: float
    after: float

    def evidence(self) -> str:
        """In words."""
        return (
            f"{self.mistake.said}: the views then agree to {100 * self.after:.1f} % of the body's height "
            f"instead of {100 * self.before:.1f} %"
        )


def diagnose(views: PersonViews, agreement: BodyAgreement) -> list[Diagnosis]:
    """Mistakes one after the other, each with the earlier ones undone, until the cameras agree or nothing helps."""
    found: list[Diagnosis] = []
    current, state = views, agreement
    for _ in range(max(1, len(views.cameras) // 2)):
        best = _best(current, state)
        if best is None:
            break
        found.append(best)
        current = rescale(best.mistake.undo(current))
        state = measure_agreement(current)
        if len(best.mistake.cameras) == 0:
            break
    return found


def cost(agreement: BodyAgreement) -> float:
    """Mean error of all cameras; what shares nothing with the others is lost."""
    errors = agreement.of_cameras(robust_mean)
    known = [errors.get(name, LOST) for name, seen in sees_enough(agreement.views).items() if seen]
    return float(np.mean(known)) if known else LOST


def sees_enough(views: PersonViews) -> dict[str, bool]:
    """Whether each camera sees as many landmarks as it takes to compare it."""
    return {name: bool((views.weight[:, c] > 0).sum() >= 8) for c, name in enumerate(views.names)}


def rescale(views: PersonViews) -> PersonViews:
    """With the scale found again: poses have changed."""
    return replace(views, scale=person_scale(views))


def _best(views: PersonViews, state: BodyAgreement) -> Diagnosis | None:
    errors = state.of_cameras()
    seen = [name for name, there in sees_enough(views).items() if there]
    bad = [name for name in seen if errors.get(name, LOST) > SOUND]
    # The mirror image of somebody who stands in the middle fits nearly as well: the camera is only a little worse than
    # the others, or its sides are exchanged.
    crossed = [
        n for c, n in enumerate(views.names) if n in seen and _odd(errors, n, float(state.exchanged[c]))
    ]
    if len(seen) < 2 or not (bad or crossed):
        return None
    suspects = sorted({*bad, *crossed}, key=lambda name: -errors.get(name, LOST))
    # A camera that is wrong spoils what the others are compared with: with few of them, all are suspects.
    if len(seen) <= 4:
        suspects += [name for name in seen if name not in suspects]
    mistakes = [*_list_mistakes(views, None, state), *_swaps(views, suspects)] if bad else []
    for name in suspects[:4] if bad else crossed:
        mistakes += _list_mistakes(views, views.names.index(name), state)
    if not bad:
        mistakes = [mistake for mistake in mistakes if mistake.code == "image-mirrored"]
    before = measure_agreement(views, resolve_sides=False)
    mistakes = _likeliest(views, mistakes)
    states = [measure_agreement(rescale(mistake.undo(views)), resolve_sides=False) for mistake in mistakes]
    costs = [cost(undone) for undone in states]
    best = int(np.argmin(costs))
    mistake = mistakes[best]
    affected = mistake.cameras or tuple(seen)
    was = _mean_of(before, affected)
    left = _mean_of(states[best], affected)
    # A convention or a mirror is one of a few things that could be, and halves what is left even where it was little: a
    # ring of level cameras with transposed rotations nearly meets.
    few = mistake.code in ("pose-convention", "image-mirrored")
    least = SOUND / 2 if few else SOUND
    gain = GAIN if bad else CLEAR_GAIN
    if was < least or left > WRONG or 1 - left / was < gain or costs[best] > 0.9 * cost(before):
        return None
    return Diagnosis(mistake, was, left)


def _odd(errors: Mapping[str, float], name: str, exchanged: float) -> bool:
    others = [error for other, error in errors.items() if other != name]
    usual = float(np.median(others)) if others else LOST
    return exchanged > 0.5 or SOUND / 2 < errors.get(name, 0.0) > ODD * usual


def _likeliest(views: PersonViews, mistakes: Sequence[Mistake]) -> list[Mistake]:
    """The few mistakes whose undoing makes the cameras agree best, roughly."""
    costs = []
    for mistake in mistakes:
        errors = rough_errors(rescale(mistake.undo(views)))
        costs.append(np.mean([robust_mean(errors[:, c]) for c in range(errors.shape[1])]))
    return [mistakes[k] for k in np.argsort(costs, kind="stable")[:LIKELIEST]]


def _mean_of(state: BodyAgreement, names: Sequence[str]) -> float:
    errors = state.of_cameras(robust_mean)
    return float(np.mean([errors.get(name, LOST) for name in names]))


# -- mistakes --------------------------------------------------------------------------------------


def _poses(
    views: PersonViews, change: Callable[[np.ndarray], np.ndarray], which: slice | list[int]
) -> PersonViews:
    viewmats = views.viewmats.copy()
    viewmats[which] = change(viewmats[which])
    return replace(views, viewmats=viewmats)


def _transpose(viewmats: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    result = viewmats.copy()
    result[:, :3, :3] = np.swapaxes(viewmats[:, :3, :3], 1, 2)
    return result


def _centre_for_translation(viewmats: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    result = viewmats.copy()
    result[:, :3, 3] = -np.einsum("nij,nj->ni", viewmats[:, :3, :3], viewmats[:, :3, 3])
    return result


def _opengl(viewmats: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    return np.diag([1.0, -1.0, -1.0, 1.0]) @ viewmats


def _opengl_inverse(viewmats: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    return np.linalg.inv(viewmats @ np.diag([1.0, -1.0, -1.0, 1.0]))


CONVENTIONS = (
    ("poses are camera to world", np.linalg.inv),
    ("rotations are transposed", _transpose),
    ("positions stand in the place of translations", _centre_for_translation),
    ("camera axes are OpenGL's (y up, looking backwards)", _opengl),
    ("poses are camera to world with OpenGL's axes", _opengl_inverse),
)


def _list_mistakes(views: PersonViews, c: int | None, state: BodyAgreement) -> Iterator[Mistake]:
    """What may have gone wrong with one camera, or with all of them alike where it is None."""
    cameras = list(range(len(views.cameras))) if c is None else [c]
    names: tuple[str, ...] = () if c is None else (views.names[c],)
    poses, pictures = ("all", "all pictures") if c is None else (f"of {names[0]},", f"pictures of {names[0]}")

    def changed(code: str, said: str, change: Change) -> Mistake:
        return Mistake(code, names, said, lambda v: _each(v, cameras, change))

    for said, convention in CONVENTIONS:
        undo = functools.partial(_poses, change=convention, which=cameras)
        yield Mistake("pose-convention", names, f"{poses} {said}", undo)
    yield changed("image-mirrored", f"{pictures} are in a mirror", _mirror)
    if c is not None:
        yield changed("image-mirrored", f"{pictures} are upside down in a mirror", _flip)
    for turns in (1, 2, 3):
        yield changed("image-turned", f"{pictures} are turned by {90 * turns} degrees", _turn_back(turns))
    # One camera's size shows against the others; where all are wrong nothing shows it, and usual ones are tried.
    for factor in SIZES if c is None else _size_factor(state, c):
        said = f"{pictures} are {1 / factor:.2f} times the size that they were calibrated at"
        undo = functools.partial(_scale, cameras=cameras, factor=factor)
        yield Mistake("image-scale", names, said, undo)
    if c is not None:
        for exchanged in (True, False):
            said = (
                f"cx and cy of {names[0]} are exchanged"
                if exchanged
                else f"{names[0]}: cx and cy are its middle"
            )
            undo = functools.partial(_centre, c=c, exchanged=exchanged)
            yield Mistake("principal-point", names, said, undo)
    if any(views.cameras[k].lens is not None for k in cameras):
        yield changed("lens-match", f"{pictures} have no lens left in", _lens_left_in)
        yield changed("lens-match", f"the lens is half taken out of {pictures}", _lens_twice)


def _swaps(views: PersonViews, suspects: list[str]) -> Iterator[Mistake]:
    for i, one in enumerate(views.names):
        for j, other in enumerate(views.names[:i]):
            if one in suspects and other in suspects:
                yield Mistake(
                    "camera-order", (other, one), f"{other} and {one} have each other's calibration",
                    functools.partial(_exchange_calibrations, a=j, b=i),
                )  # fmt: skip


def _exchange_calibrations(views: PersonViews, a: int, b: int) -> PersonViews:
    order = list(range(len(views.cameras)))
    order[a], order[b] = order[b], order[a]
    cameras = views.cameras
    changed = replace(views, viewmats=views.viewmats[order], Ks=views.Ks[order])
    px = changed.px.copy()
    for mine, theirs in ((a, b), (b, a)):
        px[:, mine] = undistort_pixels(views.raw[:, mine], cameras[theirs].K, cameras[theirs].lens)
    return replace(changed, px=px)


def _each(views: PersonViews, cameras: list[int], change: Change) -> PersonViews:
    """Landmarks of some cameras changed; sides exchanged where the change is a mirror."""
    px, weight = views.px.copy(), views.weight.copy()
    for c in cameras:
        moved, mirrored = change(views, c)
        px[:, c] = moved[:, MIRROR] if mirrored else moved
        weight[:, c] = weight[:, c][:, MIRROR] if mirrored else weight[:, c]
        weight[:, c] = np.where(np.isfinite(px[:, c]).all(-1), weight[:, c], 0.0)
    return replace(views, px=px, weight=weight)


def _take_lens_out(views: PersonViews, c: int, raw: Points) -> Points:
    camera = views.cameras[c]
    return undistort_pixels(raw, camera.K, camera.lens)


def _mirror(views: PersonViews, c: int) -> tuple[Points, bool]:
    raw = views.raw[:, c] * np.array([-1.0, 1.0]) + np.array([views.cameras[c].width, 0.0])
    return _take_lens_out(views, c, raw), True


def _flip(views: PersonViews, c: int) -> tuple[Points, bool]:
    raw = views.raw[:, c] * np.array([1.0, -1.0]) + np.array([0.0, views.cameras[c].height])
    return _take_lens_out(views, c, raw), True


def _turn_back(turns: int) -> Change:
    def change(views: PersonViews, c: int) -> tuple[Points, bool]:
        camera = views.cameras[c]
        width, height = camera.width, camera.height
        raw = views.raw[:, c]
        # The picture before it was turned had its sides exchanged, and was brought to this camera's size after.
        back = (
            rotate_back(raw, turns, width, height) if turns == 2 else rotate_back(raw, turns, height, width)
        )
        if turns != 2:
            back = back * np.array([width / height, height / width])
        return _take_lens_out(views, c, back), False

    return change


def _lens_left_in(views: PersonViews, c: int) -> tuple[Points, bool]:
    return views.raw[:, c], False


def _lens_twice(views: PersonViews, c: int) -> tuple[Points, bool]:
    return _take_lens_out(views, c, views.px[:, c]), False


def _size_factor(state: BodyAgreement, c: int) -> tuple[float, ...]:
    """The factor that brings landmarks to projected points, if it is not 1: median of ratios of distances."""
    views = state.views
    target, depth = project(state.others[c], views.viewmats[c], views.Ks[c])
    known = np.isfinite(target).all(-1) & (views.weight[:, c] > 0) & (depth > 0)
    ratios = []
    for t in range(len(known)):
        a, b = views.px[t, c, known[t]], target[t, known[t]]
        if len(a) >= 4:
            ratios.append(
                np.linalg.norm(b - b.mean(0), axis=-1).sum() / np.linalg.norm(a - a.mean(0), axis=-1).sum()
            )
    factor = float(np.median(ratios)) if ratios else 1.0
    return (factor,) if abs(np.log(factor)) > 0.1 else ()


def _scale(views: PersonViews, cameras: list[int], factor: float) -> PersonViews:
    px, height = views.px.copy(), views.height_px.copy()
    px[:, cameras] *= factor
    height[:, cameras] *= factor
    return replace(views, px=px, height_px=height)


def _centre(views: PersonViews, c: int, exchanged: bool) -> PersonViews:
    Ks = views.Ks.copy()
    camera = views.cameras[c]
    Ks[c, :2, 2] = Ks[c, [1, 0], 2] if exchanged else (camera.width / 2, camera.height / 2)
    px = views.px.copy()
    if camera.lens is not None:
        px[:, c] = undistort_pixels(views.raw[:, c], Ks[c], camera.lens)
    return replace(views, Ks=Ks, px=px)
