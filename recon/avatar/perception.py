"""Perceptual measures as losses of a training: of a crop where the person is, with the reference's features kept.

Each view has a fixed list of crops that cover the person, half a crop apart; seed and step choose one of them and seed
and crop the color behind it, so that an interrupted training continues with the same ones, and what a network sees in a
photograph's crop is computed once and kept while there is room. Drawing and photograph are laid over that color, not
the step's own: a photograph over another color at each step would be another reference each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from simulacra.recon.avatar.losses import Loss, Shown
from simulacra.recon.avatar.settings import PerceptionWeights
from simulacra.recon.avatar.views import TrainingView
from simulacra.recon.perception.by_name import OWN, open_measure
from simulacra.recon.perception.face_region import FaceRegions
from simulacra.recon.perception.identity import Identity
from simulacra.recon.perception.measure import Features, Measure

# Pixels; the least part of a crop that is of the person, so that it is worth looking at.
CROP_PX, LEAST_SHARE = 128, 0.1
# Of reference features, in bytes.
MOST_KEPT = 256 << 20

Crop = tuple[int, int, int, int]


@dataclass(frozen=True)
class Looks:
    """At what a loss looks, and when.

    Attributes:
        every: at one step of so many; it then costs so many times as much.
        shrink: pixels of a view, a side, that are one of a crop.
        crop: pixels of a crop, a side, once it is shrunk.
    """

    every: int = 1
    shrink: int = 1
    crop: int = CROP_PX


def perception_losses(weights: PerceptionWeights, seed: int) -> tuple[Loss, ...]:
    """The losses that a configuration asks for by name and weight, its own and others'.

    Raises:
        ConfigError: a loss of somebody's own that nobody has, or one that is named twice.
        AssetError: an outside file is not here.
    """
    looks = Looks(weights.every, weights.shrink, weights.crop)
    asked = [(name, getattr(weights, name)) for name in OWN]
    asked += [(own.name, own.weight) for own in weights.own]
    return tuple(
        perceptual_loss(name, open_measure(name), weight, seed, looks) for name, weight in asked if weight
    )


def perceptual_loss(
    name: str, measure: Measure, weight: float, seed: int = 0, looks: Looks | None = None
) -> Loss:
    """A measure as a loss, for `train_avatar(losses=...)`.

    Args:
        name: its column in the log of losses.
        weight: what it is multiplied by.
        seed: of crops.
        looks: at what; at a crop of 128 pixels in every step if None.

    Raises:
        AssetError: an outside file of the measure is not here: said before the training, not in its first step.
    """
    side = max(measure.least_side, 32)
    with torch.no_grad():
        measure.features(torch.zeros((side, side) if measure.of_coverage else (side, side, 3)))
    looks = looks or Looks()
    return Loss(name, weight * looks.every, PerceptualLoss(measure, seed, looks))


@dataclass(frozen=True)
class Place:
    """Where a step looks.

    Attributes:
        crop: x0, y0, width, height in the view's window.
        number: of the crop in the view.
    """

    crop: Crop
    number: int

    @property
    def rows_and_columns(self) -> tuple[slice, slice]:
        x0, y0, width, height = self.crop
        return slice(y0, y0 + height), slice(x0, x0 + width)


class PerceptualLoss:
    """The value of a loss; it keeps the features of references, and is otherwise a pure function."""

    def __init__(self, measure: Measure, seed: int, looks: Looks | None = None) -> None:
        self.measure, self.seed, self.looks = measure, seed, looks or Looks()
        self.kept = KeptFeatures(MOST_KEPT)
        self.faces = FaceRegions() if isinstance(measure, Identity) else None
        self._crops: dict[tuple[int, str, tuple[int, ...]], list[Crop]] = {}

    def __call__(self, drawn: Shown, view: TrainingView) -> Float[Tensor, ""]:
        """The distance of drawing and photograph in the step's crop; 0 where it has none, and between its steps."""
        crops = self.crops(view)
        if drawn.step % self.looks.every or not crops:
            return drawn.alpha.new_zeros(())
        number = crop_of_step(drawn.step, len(crops), self.seed)
        place = Place(crops[number], number)
        background = background_of_crop(number, self.seed).to(drawn.alpha)
        key = view.frame, view.camera, tuple(view.mask.shape), number
        theirs = self.kept.get(key)
        if theirs is None:
            theirs = self._of_photograph(view, place, background)
            self.kept.put(key, theirs)
        return self.measure.between(self.measure.features(self._of_drawing(drawn, place, background)), theirs)

    def crops(self, view: TrainingView) -> list[Crop]:
        """All crops of a view: where the person is, or the one face."""
        key = view.frame, view.camera, tuple(view.mask.shape)
        if key not in self._crops:
            if self.faces is not None:  # a face is small as it is
                found = self.faces.find(view.rgb.cpu().numpy())
                self._crops[key] = [] if found is None else [found]
            else:
                self._crops[key] = crops_over(
                    view.mask,
                    self.measure.least_side * self.looks.shrink,
                    self.looks.crop * self.looks.shrink,
                )
        return self._crops[key]

    def _of_photograph(self, view: TrainingView, place: Place, background: Tensor) -> Features:
        window = place.rows_and_columns
        mask = self._shrunk(view.mask[window])
        with torch.no_grad():
            image = mask if self.measure.of_coverage else self._shrunk(view.over(background)[window])
            return self.measure.of_reference(image, mask)

    def _of_drawing(self, drawn: Shown, place: Place, background: Tensor) -> Tensor:
        window = place.rows_and_columns
        alpha = drawn.alpha[window]
        if self.measure.of_coverage:
            return self._shrunk(alpha)
        match, cover = drawn.match, alpha[..., None]
        colors = drawn.rendering.rgb_premul[0][window] * torch.exp(match.gain)
        return self._shrunk(colors + cover * match.shift + (1 - cover) * background)

    def _shrunk(self, image: Float[Tensor, "h w *c"]) -> Float[Tensor, "h2 w2 *c"]:
        """Means over squares of `shrink` pixels; of a face nothing is taken away."""
        if self.looks.shrink == 1 or self.faces is not None:
            return image
        planes = image[..., None] if image.ndim == 2 else image
        small = functional.avg_pool2d(planes.permute(2, 0, 1)[None], self.looks.shrink)[0].permute(1, 2, 0)
        return small[..., 0] if image.ndim == 2 else small


class KeptFeatures:
    """The features of references that were asked for last, as many as fit.

    Args:
        most_bytes: of all together.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self.bytes = most_bytes, 0
        self._kept: OrderedDict[object, Features] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: object) -> Features | None:
        """What was kept, which is then the last to go; None if nothing was."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: object, features: Features) -> None:
        """Keeps it, and lets go of what was not asked for the longest."""
        self._kept[key] = features
        self.bytes += _bytes(features)
        while self.bytes > self.most_bytes and self._kept:
            self.bytes -= _bytes(self._kept.popitem(last=False)[1])


def _bytes(features: Features) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in features)


def crops_over(mask: Float[Tensor, "h w"], least_side: int, side: int = CROP_PX) -> list[Crop]:
    """Crops of a side, or what a smaller window has, half a crop apart over the person's box; those with enough of the
    person, or the one with the most. None in a window that is smaller than the measure can look at.
    """
    height, width = mask.shape
    if min(height, width) < least_side or not bool((mask > 0.5).any()):
        return []
    rows, columns = ((mask > 0.5).any(1 - axis).nonzero().flatten().tolist() for axis in (0, 1))
    crop_height, crop_width = min(side, height), min(side, width)
    found = [
        (x0, y0, crop_width, crop_height)
        for y0 in _starts(rows[0], rows[-1] + 1, crop_height, height)
        for x0 in _starts(columns[0], columns[-1] + 1, crop_width, width)
    ]
    shares = [float(mask[y0 : y0 + h, x0 : x0 + w].mean()) for x0, y0, w, h in found]
    enough = [crop for crop, share in zip(found, shares, strict=True) if share >= LEAST_SHARE]
    return enough or [found[int(np.argmax(shares))]]


def _starts(first: int, end: int, length: int, size: int) -> Iterator[int]:
    """First pixels of crops that cover first..end, evenly, at most half a crop apart, within 0..size."""
    room = max(0, end - first - length)
    count = 1 + -(-room // (length // 2))
    middle = (first + end - length) / 2
    for number in range(count):
        at = middle if count == 1 else first + room * number / (count - 1)
        yield min(max(0, round(at)), size - length)


def crop_of_step(step: int, count: int, seed: int) -> int:
    """Which crop a step looks at: by seed and step alone."""
    return int(np.random.default_rng((seed, step, 1)).integers(count))


def background_of_crop(number: int, seed: int) -> Float[Tensor, "3"]:
    """The color behind a crop."""
    return torch.from_numpy(np.random.default_rng((seed, number, 2)).random(3, np.float32))
