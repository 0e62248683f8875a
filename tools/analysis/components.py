"""How much of the variance of a score is of subjects, of their sessions, of cameras, and of what is left.

The model is that of a capture team: sessions are nested in subjects, cameras are the same in all sessions,

    y[s, k, c] = mean + subject[s] + session[s, k] + camera[c] + rest[s, k, c]

all effects random, normal and independent. Mean squares of a balanced design are independent multiples of chi-squares
(Searle, Casella and McCulloch, Variance Components, 1992, chapter 4), from which come the estimates, and intervals by
generalized pivots (Weerahandi, Exact Statistical Methods for Data Analysis, 1995): each mean square over its own
chi-square, drawn many times.

S subjects, K sessions of each, C cameras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from simulacra.render.runtime.errors import ConfigError

PARTS = ("subject", "session", "camera", "rest")
DRAWS = 10_000
# Of less the mean squares say nothing.
FEWEST = 2


@dataclass(frozen=True)
class Component:
    """One part of the variance.

    Attributes:
        variance: its estimate, in the score's unit squared; negative where chance made it so.
        interval: of the variance, never below zero.
        freedom: degrees of freedom of the mean square that it is told by: with few the interval is wide whatever is
            done.
        probability: of a mean square as large as this, were there no such part (F test); None of the rest.
    """

    name: str
    variance: float
    interval: tuple[float, float]
    freedom: int
    probability: float | None

    @property
    def deviation(self) -> float:
        """Standard deviation, in the score's unit."""
        return float(np.sqrt(max(self.variance, 0.0)))


def variance_components(
    scores: Float[np.ndarray, "S K C"], level: float = 0.95, seed: int = 0
) -> dict[str, Component]:
    """The parts of the variance of a balanced design, by name in `PARTS`.

    Args:
        scores: a number for each subject, session of the subject and camera; at least two of each.
        level: of the intervals.
        seed: of their draws.

    Raises:
        ConfigError: there are too few, or numbers that are not finite.
    """
    if min(scores.shape) < FEWEST or not np.isfinite(scores).all():
        raise ConfigError(
            "these scores do not tell parts of a variance",
            found=f"{scores.shape[0]} subjects, {scores.shape[1]} sessions of each, {scores.shape[2]} cameras",
            expected=f"at least {FEWEST} of each, and a number in every place",
        )
    squares, freedom = mean_squares(scores)
    estimate = _solve(squares, scores.shape)
    rng = np.random.default_rng(seed)
    draws = squares[:, None] * freedom[:, None] / rng.chisquare(freedom[:, None], (len(PARTS), DRAWS))
    below = (1.0 - level) / 2.0
    ends = np.quantile(np.maximum(_solve(draws, scores.shape), 0.0), [below, 1.0 - below], axis=1).T
    # What each mean square would be, were there no such part: that of sessions for subjects, else that of the rest.
    under = {"subject": 1, "session": 3, "camera": 3}
    return {
        name: Component(
            name,
            float(estimate[place]),
            (float(ends[place, 0]), float(ends[place, 1])),
            int(freedom[place]),
            _probability(squares, freedom, place, under.get(name)),
        )
        for place, name in enumerate(PARTS)
    }


def mean_squares(scores: Float[np.ndarray, "S K C"]) -> tuple[Float[np.ndarray, "4"], Float[np.ndarray, "4"]]:
    """Mean squares of subjects, sessions within them, cameras and the rest, and their degrees of freedom."""
    subjects, sessions, cameras = scores.shape
    mean, of_subject, of_session = scores.mean(), scores.mean((1, 2)), scores.mean(2)
    of_camera = scores.mean((0, 1))
    rest = scores - of_session[:, :, None] - of_camera + mean
    sums = np.array(
        [
            sessions * cameras * ((of_subject - mean) ** 2).sum(),
            cameras * ((of_session - of_subject[:, None]) ** 2).sum(),
            subjects * sessions * ((of_camera - mean) ** 2).sum(),
            (rest**2).sum(),
        ]
    )
    counts = np.array([subjects - 1, subjects * (sessions - 1), cameras - 1, 0.0])
    counts[3] = subjects * sessions * cameras - 1 - counts.sum()
    return sums / counts, counts


def _solve(squares: Float[np.ndarray, "4 ..."], shape: Sequence[int]) -> Float[np.ndarray, "4 ..."]:
    """The components whose mean squares are expected to be these."""
    subjects, sessions, cameras = shape
    return np.stack(
        [
            (squares[0] - squares[1]) / (sessions * cameras),
            (squares[1] - squares[3]) / cameras,
            (squares[2] - squares[3]) / (subjects * sessions),
            squares[3],
        ]
    )


def _probability(
    squares: Float[np.ndarray, "4"], freedom: Float[np.ndarray, "4"], place: int, under: int | None
) -> float | None:
    from scipy.stats import f

    if under is None:
        return None
    return float(f.sf(squares[place] / squares[under], freedom[place], freedom[under]))


def balanced(rows: Sequence[tuple[str, str, str, float]]) -> Float[np.ndarray, "S K C"]:
    """Scores as a block, of the mean of each subject, session and camera.

    Args:
        rows: subject, session, camera and score, as often as there are.

    Raises:
        ConfigError: subjects have not equally many sessions, or a session lacks a camera that others have.
    """
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for subject, session, camera, score in rows:
        found.setdefault(subject, {}).setdefault(session, {}).setdefault(camera, []).append(score)
    cameras = sorted({camera for sessions in found.values() for each in sessions.values() for camera in each})
    _refuse_unbalanced(found, cameras)
    return np.array(
        [
            [[np.mean(found[s][k][c]) for c in cameras] for k in sorted(found[s])]
            for s in sorted(found)
        ]
    )  # fmt: skip


def _refuse_unbalanced(
    found: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], cameras: Sequence[str]
) -> None:
    counts = {subject: len(sessions) for subject, sessions in found.items()}
    lacking = [
        f"{subject} {session}"
        for subject, sessions in found.items()
        for session, each in sessions.items()
        if len(each) < len(cameras)
    ]
    if len(set(counts.values())) > 1 or lacking or not counts:
        few = ", ".join(lacking[:3]) or ", ".join(
            f"{name} {count}" for name, count in list(counts.items())[:4]
        )
        raise ConfigError(
            "parts of a variance are told of balanced designs only",
            expected="equally many sessions of each subject, the same cameras in all of them",
            found=f"sessions that lack a camera: {few}"
            if lacking
            else f"sessions by subject: {few or 'none'}",
            remedy="choose runs for which that holds with --where",
        )
