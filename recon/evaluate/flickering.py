"""Flicker over scored views: each camera's view against the one of the frame before it, where both are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simulacra.recon.evaluate.motion import MotionOf
from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.scores import Missing, Score, absent, collect
from simulacra.recon.evaluate.views import ComparedView
from simulacra.recon.perception.flicker import LEAST_PIXELS, Flicker, flicker


class FlickerOfViews:
    """Takes compared views, of each camera at rising frames, and holds the last one of them."""

    def __init__(self, frames: Sequence[int], motion: MotionOf | None) -> None:
        """Neighbours are frames of the protocol (rising) with none between them; without a body there is no motion."""
        self._rows = {frame: row for row, frame in enumerate(frames)}
        self._motion = motion
        self._last: ComparedView | None = None
        self._found: dict[View, Flicker | Missing] = {}

    def add(self, compared: ComparedView) -> None:
        """Measures a view against the last one where that is of the same camera and the frame before."""
        last, self._last = self._last, compared
        if self._motion is None or last is None or not self._neighbors(last.view, compared.view):
            return
        if compared.person is None or last.person is None or compared.covered is None or last.covered is None:
            self._found[compared.view] = Missing("the view, or the one before it, has no mask of the person")
            return
        height, width = compared.person.shape
        motion = self._motion(compared.view.camera, last.view.frame, compared.view.frame, width, height)
        found = flicker(
            (last.render, compared.render),
            (last.photo, compared.photo),
            (last.person & last.covered, compared.person & compared.covered),
            motion,
        )
        few = Missing(
            f"fewer than {LEAST_PIXELS} pixels show the same places in this frame and the one before"
        )
        self._found[compared.view] = found or few

    def _neighbors(self, earlier: View, later: View) -> bool:
        return earlier.camera == later.camera and self._rows[later.frame] - self._rows[earlier.frame] == 1

    def score(self) -> Score:
        """The excess over the photographs by the later view of each two, and both parts of it."""
        if self._motion is None:
            return absent("flicker", "a result without a body has no motion to follow")
        known = [each for each in self._found.values() if isinstance(each, Flicker)]
        outcomes = {v: f.excess if isinstance(f, Flicker) else f for v, f in self._found.items()}
        extra = {
            "render": float(np.mean([each.render for each in known])) if known else None,
            "photograph": float(np.mean([each.photograph for each in known])) if known else None,
        }
        none = "no two neighbouring frames of one camera are scored"
        return replace(collect("flicker", outcomes, otherwise=none), extra=extra)
