"""What a study shows, keeps and finds."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from simulacra.render.runtime.errors import InputError
from simulacra.tools.study.agreement import Scores, agreement, read_scores
from simulacra.tools.study.answers import Answer, add_answer, read_answers
from simulacra.tools.study.app import make_study
from simulacra.tools.study.pairs import Pair, compared_runs, find_pairs, order_of
from simulacra.tools.study.results import print_results
from simulacra.tools.study.strengths import fit_strengths
from simulacra.tools.viewer.access import Access
from tests.tools.viewer.serving import get, get_json, served_app, write_png, write_scored_run

VIEWS = [("front", 0), ("front", 7), ("back", 0)]


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Three of one capture, each of whose renders is its own."""
    return [
        write_scored_run(tmp_path / name, {view: quality + k for k, view in enumerate(VIEWS)}, shift)
        for name, quality, shift in (("good", 30.0, 0), ("middling", 25.0, 2), ("bad", 20.0, 5))
    ]


@pytest.fixture
def pairs(runs: list[Path]) -> list[Pair]:
    return find_pairs(compared_runs(runs))


def planted(strengths: dict[str, float], count: int, seed: int = 0) -> list[Answer]:
    """Answers of people whose preferences are those of Bradley and Terry."""
    rng, names = np.random.default_rng(seed), sorted(strengths)
    found = []
    for number in range(count):
        a, b = (str(name) for name in rng.choice(names, 2, replace=False))
        wins = rng.random() < 1 / (1 + np.exp(strengths[b] - strengths[a]))
        found.append(Answer("x", a, b, f"camera{number % 12}", 0, float(wins)))
    return found


def test_every_two_runs_are_compared_in_every_view(pairs: list[Pair]) -> None:
    assert len({pair.key for pair in pairs}) == len(pairs) == 9
    assert {pair.key[:2] for pair in pairs} == {("bad", "good"), ("bad", "middling"), ("good", "middling")}
    assert all(pair.digests[0] != pair.digests[1] for pair in pairs)


def test_other_photographs_and_captures_are_not_compared(runs: list[Path]) -> None:
    write_png(runs[1] / "evaluate/views/back_000000_photo.png", np.full((64, 64, 3), 9, np.uint8))
    described = json.loads((runs[2] / "run.json").read_text())
    (runs[2] / "run.json").write_text(json.dumps(described | {"session_fingerprint": "another"}))
    assert [pair.key for pair in find_pairs(compared_runs(runs))] == [
        ("good", "middling", "front", 0), ("good", "middling", "front", 7)
    ]  # fmt: skip
    with pytest.raises(InputError, match="No two of these runs"):
        find_pairs(compared_runs([runs[0], runs[2]]))


def test_runs_of_one_name_are_refused(runs: list[Path], tmp_path: Path) -> None:
    again = write_scored_run(tmp_path / "elsewhere" / "good", {("front", 0): 1.0})
    with pytest.raises(InputError, match="same name"):
        compared_runs([runs[0], again])
    with pytest.raises(InputError, match="at least two"):
        compared_runs(runs[:1])


def test_the_order_is_the_persons_own_and_the_seeds(pairs: list[Pair]) -> None:
    many = pairs * 40
    first = order_of(many, "ann", 1)
    assert first == order_of(many, "ann", 1)
    assert first != order_of(many, "ben", 1)
    assert first != order_of(many, "ann", 2)
    assert sorted(place for place, _ in first) == list(range(len(many)))
    # Of 360 sides drawn evenly, all but one in a thousand are within 3.3 standard deviations.
    assert abs(sum(left for _, left in first) - 180) < 3.3 * np.sqrt(90)


def test_answers_are_kept_replaced_and_taken_back(pairs: list[Pair], tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    add_answer(path, pairs[0], "ann", 0, True, "left", 1.5)
    add_answer(path, pairs[0], "ben", 0, False, "left", 1.5)
    add_answer(path, pairs[1], "ann", 0, True, "same", 2.0)
    add_answer(path, pairs[2], "ann", 0, True, "right", None)
    said = {(a.who, a.camera, a.frame): a.score for a in read_answers(path, pairs)[0]}
    assert said[("ann", *pairs[0].key[2:])] == 1.0  # `a` was on the left
    assert said[("ben", *pairs[0].key[2:])] == 0.0  # and here `b`
    assert sorted(said.values()) == [0.0, 0.0, 0.5, 1.0]
    add_answer(path, pairs[0], "ann", 0, False, "left", 1.0)
    add_answer(path, pairs[1], "ann", 0, True, None, None)
    assert sorted(a.score for a in read_answers(path, pairs)[0]) == [0.0, 0.0, 0.0]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 6
    assert {"who", "time", "seed", "a", "b", "left", "digests", "camera", "frame"} <= set(lines[0])


def test_answers_about_other_renders_do_not_count(
    runs: list[Path], pairs: list[Pair], tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    for pair in pairs:
        add_answer(path, pair, "ann", 0, True, "left", 1.0)
    with path.open("a") as file:
        file.write('[]\n{"who": 3}\nhalf a li')
    write_png(runs[0] / "evaluate/views/back_000000_render.png", np.full((64, 64, 3), 9, np.uint8))
    found, others = read_answers(path, find_pairs(compared_runs(runs)))
    assert (len(found), others) == (7, 5)


def test_planted_strengths_are_found_within_their_intervals() -> None:
    true = {"a": 1.0, "b": 0.2, "c": -0.3, "d": -0.9}
    inside = []
    for seed in range(40):
        found = fit_strengths(sorted(true), planted(true, 400, seed))
        gap = np.array([true[name] for name in found.names]) - found.log_odds
        inside += (np.abs(gap) < found.half_width).tolist()
        assert abs(found.log_odds.sum()) < 1e-9
    # 95 % of 160, which are not all independent.
    assert 0.88 <= np.mean(inside) <= 0.99
    middle, low, high = found.preferred("a", "d")
    assert low < middle < high
    assert low < 1 / (1 + np.exp(-1.9)) < high


def test_two_runs_are_the_logarithm_of_their_odds() -> None:
    """Without the prior, which is weak, 30 of 40 are odds of three to one, and its error 1 / sqrt(40 p q)."""
    answers = [Answer("x", "a", "b", "c", 0, float(k < 30)) for k in range(40)]
    found = fit_strengths(["a", "b"], answers)
    assert found.log_odds[0] - found.log_odds[1] == pytest.approx(np.log(3), rel=0.02)
    assert 2 * found.half_width[0] == pytest.approx(1.96 / np.sqrt(40 * 0.75 * 0.25), rel=0.02)


def test_one_that_always_wins_is_not_infinite_and_ties_are_halves() -> None:
    always = fit_strengths(["a", "b"], [Answer("x", "a", "b", "c", 0, 1.0)] * 20)
    assert 0.5 < always.log_odds[0] < 5
    assert always.half_width[0] > 0.5
    ties = fit_strengths(["a", "b"], [Answer("x", "a", "b", "c", 0, 0.5)] * 20)
    assert np.abs(ties.log_odds).max() < 1e-9


def test_tau_is_one_for_a_metric_that_always_says_the_same_and_minus_one_for_the_opposite() -> None:
    true = {"a": 3.0, "b": 0.0, "c": -3.0}
    answers = [Answer("x", a, b, f"v{k}", 0, 1.0) for k in range(6) for a, b in (("a", "b"), ("b", "c"))]
    answers += [Answer("x", "a", "b", "v0", 0, 0.5)] * 5
    strengths = fit_strengths(sorted(true), answers)
    values = {(name, f"v{k}", 0): value for name, value in true.items() for k in range(6)}
    same = agreement("m", Scores(1, values, true), answers, strengths)
    other = agreement("m", Scores(-1, values, true), answers, strengths)
    assert (same.tau, same.low, same.high, same.count, same.of_runs) == (
        1.0,
        1.0,
        1.0,
        12,
        pytest.approx(1.0),
    )
    assert (other.tau, other.of_runs) == (-1.0, pytest.approx(-1.0))
    # One that sees no difference in half of the views says half as much.
    half = {key: 0.0 if key[1] in ("v0", "v1", "v2") else value for key, value in values.items()}
    partly = agreement("m", Scores(1, half, true), answers, strengths)
    assert partly.tau == 0.5
    assert partly.low < 0.5 < partly.high


def test_results_are_printed_of_the_runs_own_scores(
    runs: list[Path], pairs: list[Pair], tmp_path: Path
) -> None:
    path, out = tmp_path / "answers.jsonl", io.StringIO()
    console = Console(file=out, width=200)
    with pytest.raises(InputError, match="Nobody has answered"):
        print_results(runs, path, console)
    best = ["bad", "middling", "good"]
    for pair in pairs:
        wins = best.index(pair.a.name) > best.index(pair.b.name)
        add_answer(path, pair, "ann", 0, True, "left" if wins else "right", 1.0)
    print_results(runs, path, console)
    said = out.getvalue()
    assert "9 answers, 0 of them same, by 1 person, of 9 pairs." in said.replace("*", "")
    assert said.index("good ") < said.index("middling ") < said.index("bad ")
    row = next(line for line in said.splitlines() if "psnr_fg" in line)
    assert row.count("+1.00") == 2  # tau, and that of the runs; three views are too few for an interval
    assert read_scores(compared_runs(runs))["psnr_fg"].better == 1


def test_the_server_says_nothing_of_who_made_what(pairs: list[Pair], tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with served_app(make_study(pairs, path, 5, Access())) as address:
        seen, said = [], get_json(f"{address}/api/bout?who=ann")
        while said["bout"]:
            assert not any(word in json.dumps(said) for word in ("good", "bad", "middling", "front"))
            place, is_a_left = order_of(pairs, "ann", 5)[said["done"]]
            for side in ("left", "right", "photo"):
                status, content, headers = get(f"{address}/picture/{said['bout']}/{side}")
                which = side if side == "photo" else "a" if (side == "left") == is_a_left else "b"
                assert (status, content) == (200, pairs[place].picture(which).read_bytes())
                assert headers["cache-control"] == "no-store"
            seen.append(said["bout"])
            said = get_json(
                f"{address}/api/answer", {"bout": said["bout"], "answer": "left", "seconds": 1.25}
            )
        assert Counter(seen).most_common(1)[0][1] == 1
        assert said == {"bout": None, "before": seen[-1], "done": 9, "of": 9}
        undone = get_json(f"{address}/api/answer", {"bout": seen[-1], "answer": None})
        assert (undone["bout"], undone["done"]) == (seen[-1], 8)
        assert get_json(f"{address}/api/bout?who=ben")["done"] == 0
        refused = [
            get(f"{address}/api/answer", body={"bout": "unknown", "answer": "left"})[0],
            get(f"{address}/api/answer", body={"bout": seen[0], "answer": "third"})[0],
            get(f"{address}/api/answer", body=b"x" * 5000)[0],
            get(f"{address}/api/answer", {"Origin": "http://elsewhere"}, {"bout": seen[0], "answer": "left"})[
                0
            ],
            get(f"{address}/picture/{seen[0]}/a")[0],
            get(f"{address}/api/bout?who={'x' * 100}")[0],
            get(f"{address}/page/..%2fapp.py")[0],
            get(f"{address}/", {"Host": "elsewhere.example"})[0],
        ]
        assert refused == [404, 404, 404, 403, 404, 404, 404, 421]
        assert "default-src 'none'" in get(f"{address}/")[2]["content-security-policy"]
    scores = [answer.score for answer in read_answers(path, pairs)[0]]
    expected = [float(left) for _, left in order_of(pairs, "ann", 5)[:8]]
    assert scores == expected


def test_strangers_need_the_token(pairs: list[Pair], tmp_path: Path) -> None:
    with served_app(make_study(pairs, tmp_path / "answers.jsonl", 0, Access("secret"))) as address:
        assert get(f"{address}/api/bout")[0] == 401
        assert get(f"{address}/?token=secret")[0] == 303
