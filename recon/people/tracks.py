"""Who is who over time: meetings of one frame after the other are given to the people whom they continue.

A person is where their motion leads and wears what they wore. Where two come so close that one could be taken for the
other (they hug, or one stands behind the other), the colors of their clothes before and after decide, camera by camera:
no two cameras need to agree about a color. Where these do not tell them apart, that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from simulacra.recon.people.associate import Meeting
from simulacra.recon.people.sightings import Sighting

# Shares of a person's height: how far a prediction errs, and how far people walk off it in a second.
_ERRS, _WALKS = 0.3, 1.2
# Velocities are believed so long, and somebody who was not seen for longer is known by their clothes alone, seconds.
_KEEPS_GOING, _FORGOTTEN = 0.5, 1.5
# Distances of histograms (Hellinger): clothes of one person in one camera, at most; and how much surer one answer must
# be than the other where two were mixed up.
_SAME_CLOTHES, _SURER = 0.55, 0.06
# Hips nearer than this are an encounter, and one that hides the other, shares of the height.
_ENCOUNTER, _HIDES = 0.2, 0.45
# So many moments before and after an encounter say what somebody wears.
_MOMENTS = 5
# A body that two of many cameras see may be a chance meeting of two people's limbs.
_CHANCE = 0.3

Colors = Mapping[int, Float[np.ndarray, " b"]]


@dataclass
class Track:
    """One person's meetings.

    Attributes:
        meetings: by the moment's place, rising.
        colors: of each moment, by the camera's place.
    """

    meetings: dict[int, Meeting] = field(default_factory=dict)
    colors: dict[int, Colors] = field(default_factory=dict)

    def add(self, moment: int, meeting: Meeting, colors: Colors) -> None:
        """The next moment."""
        self.meetings[moment], self.colors[moment] = meeting, colors

    @property
    def last(self) -> int:
        return max(self.meetings)

    @property
    def height(self) -> float:
        """World units, of the circle about the body: the median."""
        return float(np.median([meeting.height for meeting in self.meetings.values()]))

    def wears(self, moments: Sequence[int]) -> Colors:
        """Mean colors of some moments."""
        found: dict[int, list[np.ndarray]] = {}
        for moment in moments:
            for camera, colors in self.colors[moment].items():
                found.setdefault(camera, []).append(colors)
        return {camera: np.mean(of, axis=0) for camera, of in found.items()}


@dataclass(frozen=True)
class Confusion:
    """Two tracks that could be the other way round from a moment on."""

    one: int
    other: int
    moment: int


def follow(
    moments: Sequence[Sequence[Meeting]],
    views: Sequence[Sequence[Sequence[Sighting]]],
    seconds: Float[np.ndarray, " t"],
) -> tuple[list[Track], list[Confusion]]:
    """Tracks through all moments, and pairs of them that cannot be told apart.

    Args:
        moments: the meetings of each moment.
        views: what each camera saw in each moment.
        seconds: of the moments, rising.
    """
    tracks: list[Track] = []
    for t, meetings in enumerate(moments):
        worn = [{c: views[t][c][k].colors for c, k in meeting.members.items()} for meeting in meetings]
        taken = _assign(tracks, meetings, worn, seconds, t)
        for place, meeting in enumerate(meetings):
            if place in taken:
                taken[place].add(t, meeting, worn[place])
            else:
                tracks.append(Track({t: meeting}, {t: worn[place]}))
    tracks = _stitch(tracks, seconds)
    return tracks, _untangle(tracks)


def clothes_distance(one: Colors, other: Colors) -> float:
    """Hellinger's distance of two people's colors, the mean over the cameras that see both; NaN where none does."""
    shared = [
        float(np.sqrt(max(0.0, 1.0 - np.sqrt(one[c] * other[c]).sum())))
        for c in set(one) & set(other)
        if one[c].any() and other[c].any()
    ]
    return float(np.mean(shared)) if shared else float("nan")


def _assign(
    tracks: Sequence[Track],
    meetings: Sequence[Meeting],
    worn: Sequence[Colors],
    seconds: Float[np.ndarray, " t"],
    t: int,
) -> dict[int, Track]:
    """The track that each meeting continues, by the meeting's place."""
    if not tracks or not meetings:
        return {}
    most = max(len(meeting.members) for meeting in meetings)
    cost = np.full((len(tracks), len(meetings)), 1e3)
    for row, track in enumerate(tracks):
        gone = float(seconds[t] - seconds[track.last])
        hip, reach = _predict(track, seconds, t), track.height * (_ERRS + _WALKS * gone)
        wore = track.wears(list(track.meetings)[-_MOMENTS:])
        for column, meeting in enumerate(meetings):
            apart = float(np.linalg.norm(meeting.hip - hip)) / reach
            clothes = clothes_distance(wore, worn[column])
            known = 0.5 if np.isnan(clothes) else clothes
            if apart > 1 or known > _SAME_CLOTHES or (gone > _FORGOTTEN and np.isnan(clothes)):
                continue
            chance = _CHANCE if len(meeting.members) == 2 < most else 0.0
            cost[row, column] = apart + known + chance - 0.05 * min(len(track.meetings), 10)
    rows, columns = linear_sum_assignment(cost)
    return {int(c): tracks[r] for r, c in zip(rows, columns, strict=True) if cost[r, c] < 1e2}


def _predict(track: Track, seconds: Float[np.ndarray, " t"], t: int) -> Float[np.ndarray, "3"]:
    """Where the mid hip should be: on with its last velocity for a moment."""
    known = list(track.meetings)[-2:]
    hip = track.meetings[known[-1]].hip
    if len(known) < 2:
        return hip
    step = float(seconds[known[1]] - seconds[known[0]])
    if not 0 < step <= _FORGOTTEN:
        return hip
    velocity = (hip - track.meetings[known[0]].hip) / step
    fastest = _WALKS * track.height
    speed = float(np.linalg.norm(velocity))
    ahead = min(float(seconds[t] - seconds[known[1]]), _KEEPS_GOING)
    return hip + velocity * ahead * min(1.0, fastest / max(speed, 1e-9))


def _stitch(tracks: Sequence[Track], seconds: Float[np.ndarray, " t"]) -> list[Track]:
    """Pieces given to the longer tracks in whose gaps they lie: where two were taken for one, clothes were mixed."""
    whole: list[Track] = []
    for piece in sorted(tracks, key=lambda track: -len(track.meetings)):
        fitting = [(_misfit(track, piece, seconds), k) for k, track in enumerate(whole)]
        misfit, k = min(fitting, default=(1.0, 0))
        if misfit >= 1:
            whole.append(piece)
            continue
        for kind in ("meetings", "colors"):
            setattr(whole[k], kind, dict(sorted((getattr(whole[k], kind) | getattr(piece, kind)).items())))
    return whole


def _misfit(track: Track, piece: Track, seconds: Float[np.ndarray, " t"]) -> float:
    """How far a piece begins and ends from where a track's gap is, share of what can be walked; 1 if it cannot be."""
    if set(track.meetings) & set(piece.meetings):
        return 1.0
    worn = clothes_distance(track.wears(list(track.meetings)), piece.wears(list(piece.meetings)))
    ends = []
    for end, others in ((min(piece.meetings), [m for m in track.meetings if m < min(piece.meetings)][-1:]),
                        (piece.last, [m for m in track.meetings if m > piece.last][:1])):  # fmt: skip
        for moment in others:
            reach = track.height * (_ERRS + _WALKS * abs(float(seconds[moment] - seconds[end])))
            ends.append(float(np.linalg.norm(track.meetings[moment].hip - piece.meetings[end].hip)) / reach)
    between = any(m < min(piece.meetings) for m in track.meetings) and any(
        m > piece.last for m in track.meetings
    )
    return max(ends) if between and not worn > _SAME_CLOTHES else 1.0


def _untangle(tracks: list[Track]) -> list[Confusion]:
    """Exchanges what follows an encounter where the clothes say so; what they do not tell is a confusion."""
    confusions = []
    for one, other in combinations(range(len(tracks)), 2):
        a, b = tracks[one], tracks[other]
        for first, last in _encounters(a, b):
            before = [[m for m in track.meetings if m < first][-_MOMENTS:] for track in (a, b)]
            after = [[m for m in track.meetings if m > last][:_MOMENTS] for track in (a, b)]
            if not all([*before, *after]):
                continue
            (a0, b0), (a1, b1) = (
                [t.wears(m) for t, m in zip((a, b), at, strict=True)] for at in (before, after)
            )
            straight = clothes_distance(a0, a1) + clothes_distance(b0, b1)
            crossed = clothes_distance(a0, b1) + clothes_distance(b0, a1)
            if crossed < straight - _SURER:
                _exchange(a, b, last)
            elif not crossed > straight + _SURER:
                confusions.append(Confusion(one, other, last))
    return confusions


def _encounters(a: Track, b: Track) -> list[tuple[int, int]]:
    """First and last moments of the stretches in which one of two could be taken for the other."""
    start, end = max(min(a.meetings), min(b.meetings)), min(a.last, b.last)
    height = min(a.height, b.height)
    found: list[tuple[int, int]] = []
    near = False
    for moment in range(start, end + 1):
        both = moment in a.meetings and moment in b.meetings
        hips = [_hip_at(track, moment) for track in (a, b)]
        apart = float(np.linalg.norm(hips[0] - hips[1])) / height
        close = apart < (_ENCOUNTER if both else _HIDES)
        if close:
            found = [*found[:-1], (found[-1][0], moment)] if near else [*found, (moment, moment)]
        near = close
    return found


def _hip_at(track: Track, moment: int) -> Float[np.ndarray, "3"]:
    """Where somebody was last seen."""
    return track.meetings[max(m for m in track.meetings if m <= moment)].hip


def _exchange(a: Track, b: Track, after: int) -> None:
    for kind in ("meetings", "colors"):
        mine, theirs = getattr(a, kind), getattr(b, kind)
        setattr(a, kind, _joined(mine, theirs, after))
        setattr(b, kind, _joined(theirs, mine, after))


def _joined(before: dict, then: dict, after: int) -> dict:
    return {m: v for m, v in before.items() if m <= after} | {m: v for m, v in then.items() if m > after}
