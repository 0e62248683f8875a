"""What the server holds between two requests: summaries, opened runs and pictures, all bounded. Nothing of a client."""

from __future__ import annotations

import functools
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np

from simulacra.render.runtime.errors import InputError

from . import pictures
from .cache import ByteCache
from .checks import RecordChecks
from .entries import Entry, find_entries
from .layers import CAPTURED, DERIVED, DRAWN, missing_layers
from .measures import Series, numbers_of, scored_picture
from .preparation import Preparation, Step
from .summary import Summary, read_summary, stamp_of

if TYPE_CHECKING:
    from .drawing import DrawnRun, Photographs

Opened = TypeVar("Opened")
CACHE_BYTES = 128 << 20
# Pixels of the longer side of a picture that is drawn for its code's sake.
SMALL = 64
MOST_SUMMARIES, MOST_RUNS = 64, 3
SIDES = (32, 2048)
EVALUATE = "evaluate"


class Studio:
    """Runs and captures as they are asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._summaries: OrderedDict[str, Summary] = OrderedDict()
        self._runs: OrderedDict[tuple[str, str], DrawnRun] = OrderedDict()
        self._captures: OrderedDict[tuple[str, str], Photographs] = OrderedDict()
        self.checks = RecordChecks()
        self.pictures: ByteCache[bytes] = ByteCache(CACHE_BYTES, len)
        self.preparation = Preparation()
        self.look_again()

    def look_again(self) -> tuple[Entry, ...]:
        """The runs and captures that are there now; what was there keeps its address."""
        try:
            found = find_entries(self._paths)
        except InputError:
            found = ()
        with self._lock:
            self._entries |= {entry.id: entry for entry in found}
        return found

    def entry(self, name: str) -> Entry:
        """The entry of an id.

        Raises:
            InputError: there is none.
        """
        with self._lock:
            if name not in self._entries:
                raise InputError("there is no such run or capture", found=name[:80])
            return self._entries[name]

    def summary(self, name: str) -> Summary:
        """What is in it now. Checks of its records begin.

        Raises:
            InputError: there is no such id.
            RunError: it has gone.
        """
        entry = self.entry(name)
        stamp = stamp_of(entry)
        with self._lock:
            kept = self._summaries.get(name)
        if kept is None or kept.stamp != stamp:
            kept = read_summary(entry)
            with self._lock:
                self._summaries[name] = kept
                self._summaries.move_to_end(name)
                while len(self._summaries) > MOST_SUMMARIES:
                    self._summaries.popitem(last=False)
        if entry.kind == "run":
            self.checks.start(entry.path, kept.stamp, kept.stages)
        return kept

    def photographs(self, summary: Summary) -> Photographs:
        """The capture of a run, or one without a run.

        Raises:
            InputError: it has gone or cannot be read.
        """
        if summary.session is None:
            raise InputError("the capture of this run has gone", where=summary.entry.path)
        from .drawing import open_photographs

        key, session = (str(summary.session), summary.stamp), summary.session
        return self._kept(self._captures, key, lambda: open_photographs(session))

    def drawn(self, summary: Summary) -> DrawnRun:
        """The run, opened to be drawn; a few are kept. Torch is imported here.

        Raises:
            InputError, RunError: it cannot be; says why.
        """
        if summary.entry.kind == "session":
            raise InputError(
                "there is no reconstruction of this capture yet",
                where=summary.entry.path,
                remedy=f"simulacra reconstruct {summary.entry.path} --out RUN",
            )
        if "avatar" not in summary.stages:
            raise InputError(
                "this run has no avatar yet: only what is in its files is shown",
                where=summary.entry.path,
                remedy="finish it: simulacra reconstruct SESSION --out RUN",
            )
        from .drawing import DrawnRun

        key = (summary.entry.id, summary.stamp)
        return self._kept(self._runs, key, lambda: DrawnRun(summary.entry.path, summary.session))

    def prepare(self, summary: Summary) -> dict[str, Any]:
        """Begins to open a run or capture for drawing, if it was not begun, and says how far it is.

        Each layer is drawn once, small: what a drawing needs is loaded by the first of its kind.
        """
        steps: list[Step] = []
        if summary.session is not None:
            steps.append(("reading the capture", lambda: self.photographs(summary)))
        if summary.entry.kind == "run" and "avatar" in summary.stages:
            steps.append(("reading the avatar", lambda: self.drawn(summary)))
        views = summary.scored or [
            (name, frame) for name in summary.camera_names for frame in summary.frames[:1]
        ]
        reasons = missing_layers(summary)
        for layer in (*CAPTURED, *DRAWN) if views else ():
            if layer not in reasons:
                work = functools.partial(self.view, summary, layer, *views[0], SMALL)
                steps.append(("getting ready to draw", work))
        return self.preparation.state((summary.entry.id, summary.stamp), steps)

    def _kept(
        self, kept: OrderedDict[tuple[str, str], Opened], key: tuple[str, str], make: Callable[[], Opened]
    ) -> Opened:
        """What was opened before, or is now: one after the other, as opening takes memory and all processors."""
        with self._opening:
            if key not in kept:
                for old in [known for known in kept if known[0] == key[0]]:
                    del kept[old]
                kept[key] = make()
                while len(kept) > MOST_RUNS:
                    kept.popitem(last=False)
            kept.move_to_end(key)
            return kept[key]

    def picture(
        self, summary: Summary, layer: str, camera: str, frame: int, side: int = 0, **more: Any
    ) -> tuple[bytes, str]:
        """A picture of a view as a file, and its kind.

        Args:
            layer: of `DERIVED`, `CAPTURED` or `DRAWN`.
            side: pixels of the longer side; 0 for those at which views are compared.
            more: `part` of a difference; `other`, the summary of the run that is compared with.

        Raises:
            InputError, RunError: it cannot be; says why.
        """
        if not summary.has_view(camera, frame):
            raise InputError("there is no such view", found=f"camera {camera}, frame {frame}"[:200])
        side = min(SIDES[1], max(SIDES[0], side)) if side else summary.side
        other, part = more.get("other"), more.get("part", "both")
        if layer not in (*DERIVED, *CAPTURED, *DRAWN):
            raise InputError("there is no such picture", found=layer[:80])
        if part not in get_args(pictures.Part):
            raise InputError("there is no such part", found=part, expected=", ".join(get_args(pictures.Part)))
        kind = "jpg" if layer in ("photo", "overlay", "body", "mask", "keypoints") else "png"
        key = (
            summary.entry.id, summary.stamp, layer, camera, frame, side, part, other and (other.entry.id, other.stamp)
        )  # fmt: skip

        def make() -> bytes:
            path = self._file(summary, layer, camera, frame) if side == summary.side else None
            if path is not None:
                return path.read_bytes()
            pixels = self._pixels(summary, layer, camera, frame, side, part, other)
            return pictures.encode(pixels, "jpg" if kind == "jpg" else "png")

        return self.pictures.get(key, make), kind

    def _pixels(
        self,
        summary: Summary,
        layer: str,
        camera: str,
        frame: int,
        side: int,
        part: Any,
        other: Summary | None,
    ) -> pictures.Picture:
        if layer not in DERIVED:
            return self.view(summary, layer, camera, frame, side)
        if layer == "difference":
            ours = self.view(summary, "render", camera, frame, side)
            return pictures.difference_picture(ours, self.view(summary, "person", camera, frame, side), part)
        if other is None or not other.has_view(camera, frame):
            raise InputError("the other run has no such view", found=f"camera {camera}, frame {frame}"[:200])
        ours = self.view(summary, "render", camera, frame, side)
        theirs = self.view(other, "render", camera, frame, side)
        if layer == "against":
            return pictures.difference_picture(ours, theirs, part)
        photo = self.view(summary, "person", camera, frame, side)
        return pictures.change_picture(theirs, ours, photo)

    def view(self, summary: Summary, layer: str, camera: str, frame: int, side: int) -> pictures.Picture:
        """The pixels of a layer: of a scored view the file in the run where that is large enough, or drawn now."""
        path = self._file(summary, layer, camera, frame)
        if path is not None:
            found = pictures.read_picture(path)
            if side <= max(found.shape[:2]) or side == summary.side or summary.session is None:
                return pictures.shrink(found, side)
        if layer in CAPTURED:
            capture = self.photographs(summary)
            from .drawing import draw_photograph

            return draw_photograph(capture, layer, camera, frame, side)
        run = self.drawn(summary)
        from .drawing import draw_layer

        return draw_layer(run, layer, camera, frame, side)

    def _file(self, summary: Summary, layer: str, camera: str, frame: int) -> Path | None:
        """The file that a picture of a scored view is in its run, which nothing is known to be wrong with."""
        kind = {"person": "photo", "render": "render"}.get(layer)
        if kind is None:
            return None
        self.checks.refuse_damaged(summary.entry.path, summary.stamp, EVALUATE)
        return scored_picture(summary.entry.path, camera, frame, kind)

    def region_scores(self, summary: Summary, region: str) -> dict[str, Series]:
        """PSNR over a region of the person in the views of which the run has pictures, by camera. Needs the avatar.

        Raises:
            InputError, RunError: it cannot be; says why.
        """
        key = (summary.entry.id, summary.stamp, "regions")
        found: dict[str, dict[str, float]] = json.loads(
            self.pictures.get(key, lambda: json.dumps(self._all_regions(summary)).encode())
        ).get(region, {})
        return {
            camera: (
                np.array(sorted(map(int, values))),
                np.array([values[f] for f in sorted(values, key=int)]),
            )
            for camera, values in found.items()
        }

    def _all_regions(self, summary: Summary) -> dict[str, dict[str, dict[int, float]]]:
        run = self.drawn(summary)
        from .drawing import region_errors

        found: dict[str, dict[str, dict[int, float]]] = {}
        for camera, frame in summary.scored:
            if scored_picture(summary.entry.path, camera, frame, "render") is None:
                continue
            ours, theirs = (
                self.view(summary, each, camera, frame, summary.side) for each in ("render", "person")
            )
            for name, value in region_errors(run, camera, frame, ours, theirs).items():
                found.setdefault(name, {}).setdefault(camera, {})[frame] = value
        return found

    def numbers(self, summary: Summary, camera: str, frame: int, depth: bool) -> dict[str, Any]:
        """Scores of a view, and how its error is shared out; of its depth picture the range of metres if asked."""
        found: dict[str, Any] = {"scores": numbers_of(summary, camera, frame)}
        if scored_picture(summary.entry.path, camera, frame, "render") is not None:
            ours = self.view(summary, "render", camera, frame, summary.side)
            theirs = self.view(summary, "person", camera, frame, summary.side)
            found["zones"] = pictures.zone_numbers(ours, theirs)
        if depth:
            from .drawing import DRAWING, depth_range

            with DRAWING:
                found["depth"] = depth_range(self.drawn(summary), camera, frame, summary.side)
        return found
