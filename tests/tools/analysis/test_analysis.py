"""Parts of a variance, paired differences and power: planted truths are covered as often as is said, nothing alarms."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from simulacra.render.runtime.errors import ConfigError
from simulacra.tools.analysis.components import PARTS, balanced, mean_squares, variance_components
from simulacra.tools.analysis.paired import bootstrap_interval, compare_settings, holm, sessions_needed
from simulacra.tools.analysis.questions import components_of, settings_of
from simulacra.tools.database.facts import RunFacts, ViewScores
from simulacra.tools.database.store import open_database

SUBJECTS, SESSIONS, CAMERAS = 20, 3, 6
TRUTH = {"subject": 1.0, "session": 0.49, "camera": 0.25, "rest": 1.44}


def draw(rng: np.random.Generator, truth: dict[str, float]) -> np.ndarray:
    size = {"subject": (SUBJECTS, 1, 1), "session": (SUBJECTS, SESSIONS, 1), "camera": (1, 1, CAMERAS)}
    size["rest"] = (SUBJECTS, SESSIONS, CAMERAS)
    return 23.0 + sum(np.sqrt(truth[name]) * rng.normal(size=size[name]) for name in PARTS)


def test_planted_variances_are_covered_as_often_as_is_said() -> None:
    rng = np.random.default_rng(11)
    trials, covered = 200, dict.fromkeys(PARTS, 0)
    means = dict.fromkeys(PARTS, 0.0)
    for trial in range(trials):
        for name, part in variance_components(draw(rng, TRUTH), 0.9, trial).items():
            covered[name] += part.interval[0] <= TRUTH[name] <= part.interval[1]
            means[name] += part.variance / trials
    for name in PARTS:
        # What 200 trials of a true 0.9 give in all but one of ten thousand cases.
        assert binomtest(covered[name], trials, 0.9).pvalue > 1e-4, (name, covered[name] / trials)
        assert means[name] == pytest.approx(TRUTH[name], rel=0.15)


def test_where_there_is_nothing_nothing_is_said() -> None:
    rng = np.random.default_rng(12)
    truth = {"subject": 0.0, "session": 0.0, "camera": 0.0, "rest": 1.0}
    alarms = dict.fromkeys(PARTS[:3], 0)
    for trial in range(150):
        for name, part in variance_components(draw(rng, truth), seed=trial).items():
            if part.probability is not None:
                alarms[name] += part.probability < 0.05
    for name, count in alarms.items():
        assert binomtest(count, 150, 0.05, "greater").pvalue > 1e-4, (name, count)


def test_mean_squares_add_up_and_know_what_shifts() -> None:
    rng = np.random.default_rng(13)
    scores = draw(rng, TRUTH)
    squares, freedom = mean_squares(scores)
    assert (squares * freedom).sum() == pytest.approx(((scores - scores.mean()) ** 2).sum())
    assert freedom.sum() == scores.size - 1
    moved = scores + rng.normal(size=CAMERAS)  # cameras alone
    assert np.allclose(mean_squares(moved)[0][[0, 1, 3]], squares[[0, 1, 3]])


def test_designs_that_are_not_balanced_are_refused() -> None:
    rows = [(f"s{s}", f"k{k}", f"c{c}", float(s)) for s in range(2) for k in range(2) for c in range(2)]
    assert balanced(rows).shape == (2, 2, 2) and balanced(rows)[1].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    for wrong in (rows[:-1], [*rows, ("s2", "k0", "c0", 1.0), ("s2", "k0", "c1", 1.0)], []):
        with pytest.raises(ConfigError, match="balanced"):
            balanced(wrong)
    with pytest.raises(ConfigError, match="do not tell"):
        variance_components(np.ones((2, 1, 2)))


def test_intervals_of_differences_cover_as_often_as_is_said() -> None:
    """Subjects with many views each: views of one subject are alike, and are not as many draws."""
    rng = np.random.default_rng(14)
    trials, covered, alarms = 200, 0, 0
    for trial in range(trials):
        of_subject = rng.normal(0.0, 1.0, 12)
        means = (of_subject[:, None] + rng.normal(0.0, 1.0, (12, 20))).mean(1)
        low, high = bootstrap_interval(means + 0.3, seed=trial)
        covered += low <= 0.3 <= high
        found = compare_settings(
            {str(k): dict(zip("abcdefgh", [[v] for v in rng.normal(size=8)])) for k in range(3)}
        )
        alarms += any(each.corrected < 0.05 for each in found.values())
    assert binomtest(covered, trials, 0.95).pvalue > 1e-4, covered / trials
    # Of three comparisons at once any alarm counts; without the correction some 14 % would have one.
    assert binomtest(alarms, trials, 0.05, "greater").pvalue > 1e-4, alarms / trials


def test_corrections_are_holms() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []
    with pytest.raises(ConfigError, match="too few"):
        compare_settings({"a": {"s": [1.0]}})


def test_so_many_sessions_are_enough_and_one_less_is_not() -> None:
    """Against the published table of paired t tests (Cohen 1988, d = 0.5, power 0.8: 34), and by trial."""
    assert sessions_needed(0.5, 1.0) == 34
    assert sessions_needed(-0.5, 1.0) == 34 and sessions_needed(1.0, 0.0) == 2
    assert sessions_needed(0.2, 1.0) == 199
    rng = np.random.default_rng(15)
    drawn = rng.normal(0.5, 1.0, (4000, 34))
    ratio = drawn.mean(1) / (drawn.std(1, ddof=1) / np.sqrt(34))
    assert np.mean(np.abs(ratio) > 2.0345) == pytest.approx(0.8, abs=0.03)
    with pytest.raises(ConfigError, match="never seen"):
        sessions_needed(0.0, 1.0)


def test_the_database_is_asked_for_both(tmp_path: Path) -> None:
    """Eight subjects, two sessions and three cameras each, made with two values of a setting, 0.8 apart."""
    pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(16)
    of_subject, of_view = rng.normal(0, 2, 8), rng.normal(0, 0.1, (8, 2, 3))
    facts = []
    for s, k, steps in itertools.product(range(8), range(2), (60, 120)):
        about = {"subject": f"p{s}", "session_fingerprint": f"p{s}k{k}", "config": "smoke"}
        settings = [{"name": "avatar.steps", "text": str(steps), "number": float(steps)}]
        numbers = 23 + of_subject[s] + of_view[s, k] + 0.8 * (steps == 120)
        views = [
            ViewScores(f"c{c}", 0, False, {"psnr_fg": float(number)}) for c, number in enumerate(numbers)
        ]
        facts.append(RunFacts(f"{s}/{k}/{steps}", {"about": about, "settings": settings}, tuple(views)))
    database = open_database(tmp_path)
    database.put(facts)
    parts = components_of(database, "psnr_fg", "config = 'smoke'")
    assert parts["subject"].interval[0] > 1 and parts["subject"].freedom == 7
    assert parts["rest"].deviation == pytest.approx(0.1, abs=0.04)
    (difference,) = settings_of(database, "psnr_fg", "avatar.steps").values()
    assert difference.mean == pytest.approx(0.8, abs=1e-5) and difference.clusters == 8
    assert difference.corrected < 1e-9
    with pytest.raises(ConfigError, match="same in all"):
        settings_of(database, "psnr_fg", "avatar.steps", "number = 60")
    with pytest.raises(ConfigError, match="no such number"):
        components_of(database, "psnr_fg FROM runs --")
    with pytest.raises(ConfigError, match="no such table"):
        components_of(database, "psnr_fg", "1 IN (SELECT 1 FROM duckdb_settings)")
    with pytest.raises(ConfigError, match="balanced"):
        components_of(database, "psnr_fg", "session_fingerprint <> 'p0k0'")
