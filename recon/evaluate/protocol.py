"""Which views score a run. Decided from the configuration before the first stage, and the same for every
rerun.

A score means something only if the pictures that it is computed on did not shape the result. So the views are
split once, the stages are handed only what they may see, and a later evaluation on a view that was seen says
so beside its numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

from simulacra.render.runtime.errors import CaptureError, ConfigError

# What a number of a protocol means changes with its version: compare none across versions.
PROTOCOL_VERSIONS = {"held-out-view": 1, "held-out-frame": 1, "novel-pose": 1, "cross-session": 1}


@dataclass(frozen=True, order=True)
class View:
    """One picture of a capture: a frame as one camera saw it."""

    camera: str
    frame: int


@dataclass(frozen=True)
class Across:
    """What an avatar is from, where that is another session than the views.

    Attributes:
        session: the name of its session's folder.
        avatar: digest of the avatar's record.
        person: who both sessions say they are of; None where only the user says that it is one person.
    """

    session: str
    avatar: str
    person: str | None


@dataclass(frozen=True)
class Protocol:
    """The split of a session's views.

    Attributes:
        cameras: all that the session offers, in its order.
        frames: their numbers, likewise.
        held_out_cameras: seen by no stage before the evaluation: neither for pose nor for color.
        held_out_frames: of the other cameras, not used for color; the pose of these frames is fitted to what
            the other cameras' (and these frames') keypoints say, because a body has to be somewhere to be
            drawn.
        evaluated: the views that are scored.
        locked: whether `evaluated` is what was held out from the start, rather than chosen afterwards.
        novel_frames: of the held-out ones, those whose fitted pose is far from every trained one's
            (`recon.evaluate.novel`). Known after the fit alone, it decides nothing of what is trained or scored.
        across: where the avatar is of another session than the views. Nothing of these views was trained on then;
            training cameras and frames are those that this session's own fit has its poses from.
    """

    cameras: tuple[str, ...]
    frames: tuple[int, ...]
    held_out_cameras: tuple[str, ...]
    held_out_frames: tuple[int, ...]
    evaluated: tuple[View, ...]
    locked: bool = True
    novel_frames: tuple[int, ...] = ()
    across: Across | None = None

    @property
    def training_cameras(self) -> tuple[str, ...]:
        """Cameras that the stages may look at."""
        return tuple(name for name in self.cameras if name not in self.held_out_cameras)

    @property
    def training_frames(self) -> tuple[int, ...]:
        """Frames of which the training cameras' colors may be used."""
        return tuple(frame for frame in self.frames if frame not in self._held_out)

    def seen(self, view: View) -> bool:
        """Whether the view's colors were open to training."""
        trained = view.camera not in self.held_out_cameras and view.frame not in self._held_out
        return trained and self.across is None

    @cached_property
    def _held_out(self) -> frozenset[int]:
        return frozenset(self.held_out_frames)

    def pose_seen(self, view: View) -> bool:
        """Whether the view's keypoints and silhouette were open to the body fit."""
        return view.camera not in self.held_out_cameras

    @property
    def name(self) -> str:
        """What kind of views are scored, in a few words."""
        if self.across is not None:
            return "another session"
        if any(self.seen(view) for view in self.evaluated):
            return "views seen in training"
        if not self.locked:
            return "other held-out views than the run's own"
        if all(view.camera in self.held_out_cameras for view in self.evaluated):
            return "held-out cameras"
        return "held-out frames" if not self.held_out_cameras else "held-out cameras and frames"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The protocols that scored views are of, by name and version; none of views that were seen in training."""
        return tuple(self.judges)

    @cached_property
    def judges(self) -> dict[str, tuple[View, ...]]:
        """The scored views of each protocol, by its name and version.

        `held-out-view`: a camera that no stage saw. `held-out-frame`: a frame of a known camera whose colors were not
        used, and whose pose was fitted. A held-out camera at a held-out frame is of the first. `novel-pose`: a view of
        either whose frame is one of `novel_frames`. `cross-session`: a view of another session, and of nothing else.
        """
        unseen = [view for view in self.evaluated if not self.seen(view)]
        found = {
            "held-out-view": [view for view in unseen if not self.pose_seen(view)],
            "held-out-frame": [view for view in unseen if self.pose_seen(view)],
            "novel-pose": [view for view in unseen if view.frame in self.novel_frames],
        }
        if self.across is not None:
            found = {"cross-session": unseen}
        return {f"{name}@{PROTOCOL_VERSIONS[name]}": tuple(views) for name, views in found.items() if views}

    @property
    def digest(self) -> str:
        """SHA-256 of the split: what was trained on, and which views are scored."""
        scored = [(view.camera, view.frame) for view in self.evaluated]
        split: list[Any] = [self.training_cameras, self.frames, self.training_frames, scored]
        if self.across is not None:
            split.append(self.across.avatar)
        return sha256(json.dumps(split).encode()).hexdigest()

    @property
    def statement(self) -> str:
        """One sentence for people: what the scores were computed on and what that says."""
        if not self.evaluated:
            return "No view was scored."
        count = f"{len(self.evaluated)} view" + ("s" if len(self.evaluated) > 1 else "")
        seen = sum(self.seen(view) for view in self.evaluated)
        if seen:
            return (
                f"Scored on {count}, of which {seen} were used in training: these numbers say how well the "
                "avatar remembers, not how well it predicts. Do not compare them with held-out scores."
            )
        parts = []
        if self.across is not None:
            parts.append(
                f"an avatar of the session {self.across.session} in the poses and cameras of this one, of which its "
                f"training used nothing; the poses were fitted in cameras {', '.join(self.training_cameras)}"
            )
        elif self.held_out_cameras:
            parts.append(f"cameras {', '.join(self.held_out_cameras)}, which no stage saw")
        if self.across is None and any(view.camera not in self.held_out_cameras for view in self.evaluated):
            parts.append(
                "frames left out of the color training, whose body pose was fitted from those frames"
            )
        return f"Scored on {count}: {'; '.join(parts)}."

    def as_json(self) -> dict[str, Any]:
        """What metrics.json says under `protocol` and what another run can compare."""
        return {
            "name": self.name,
            "kinds": list(self.kinds),
            "judges": {
                kind: [{"camera": view.camera, "frame": view.frame} for view in views]
                for kind, views in self.judges.items()
            },
            "novel_frames": list(self.novel_frames),
            "across": None if self.across is None else asdict(self.across),
            "statement": self.statement,
            "locked": self.locked,
            "seen_in_training": any(self.seen(view) for view in self.evaluated),
            "pose_fitted_on_evaluated_views": any(self.pose_seen(view) for view in self.evaluated),
            "training_cameras": list(self.training_cameras),
            "training_frames": list(self.training_frames),
        }


def lock_protocol(
    cameras: Sequence[str],
    frames: Sequence[int],
    held_out_cameras: Sequence[str] = (),
    held_out_every: int = 0,
    most_training_views: int = 16,
    has: Callable[[int, str], bool] = lambda frame, camera: True,
    held_out_last: int = 0,
) -> Protocol:
    """Splits a session's views before anything is computed.

    Args:
        held_out_every: the last of each so many frames is not used for color in any camera (with 10 and
            frames 0..99 these are 9, 19, ... 99); 0 for none.
        held_out_last: likewise so many frames at the end, together: poses may be there that no trained frame has.
        has: whether a camera recorded a frame; views that do not exist are not scored.
        most_training_views: if nothing is held out the scores are computed on this many seen views, spread
            evenly.

    Raises:
        ConfigError: a camera that the session has not.
        CaptureError: nothing would be left to train on.
    """
    unknown = [name for name in held_out_cameras if name not in cameras]
    if unknown:
        raise ConfigError(
            "a held-out camera is not in the session",
            where=", ".join(unknown),
            expected=f"one of {', '.join(cameras)}",
            remedy="correct the held-out cameras in the configuration",
        )
    every = {i for i in range(len(frames)) if held_out_every and (i + 1) % held_out_every == 0}
    last = set(range(max(0, len(frames) - held_out_last), len(frames)))
    out_frames = tuple(f for i, f in enumerate(frames) if i in every | last)
    everything = Protocol(tuple(cameras), tuple(frames), tuple(held_out_cameras), out_frames, ())
    if not everything.training_cameras or not everything.training_frames:
        raise CaptureError(
            "every view of the session is held out, nothing is left to train on",
            found=f"{len(held_out_cameras)}/{len(cameras)} cameras, {len(out_frames)}/{len(frames)} frames",
            remedy="hold out fewer cameras or frames",
        )
    views = [View(camera, frame) for camera in cameras for frame in frames if has(frame, camera)]
    chosen = [view for view in views if not everything.seen(view)]
    if out_frames:  # a held-out camera is scored at the held-out frames: unseen in both ways, and far fewer
        chosen = [view for view in chosen if view.frame in everything._held_out]
    return replace(everything, evaluated=tuple(chosen or spread(views, most_training_views)))


def choose_other(
    protocol: Protocol,
    cameras: Sequence[str],
    has: Callable[[int, str], bool] = lambda frame, camera: True,
) -> Protocol:
    """The same training, scored on other cameras at the same frames; seen ones stay marked as seen.

    Raises:
        ConfigError: a camera that the session has not.
    """
    if set(cameras) == {view.camera for view in protocol.evaluated}:
        return protocol
    unknown = [name for name in cameras if name not in protocol.cameras]
    if unknown or not cameras:
        raise ConfigError(
            "a camera to evaluate on is not in the session",
            where=", ".join(unknown) or None,
            expected=f"some of {', '.join(protocol.cameras)}",
        )
    frames = sorted({view.frame for view in protocol.evaluated})
    evaluated = tuple(View(c, f) for c in cameras for f in frames if has(f, c))
    return replace(protocol, evaluated=evaluated, locked=False)


def spread(items: Sequence[View], most: int) -> list[View]:
    """At most so many of the items, evenly over the sequence, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    if most <= 1:
        return list(items[:most])
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
