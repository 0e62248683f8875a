"""Pictures of one moment by their times: rates, gaps, jitter and late beginnings."""

import numpy as np
import pytest

from simulacra.recon.session.pairing import pair_by_time


def test_pictures_of_one_clock_keep_their_numbers() -> None:
    found = pair_by_time({"a": np.arange(50) / 30, "b": np.arange(40) / 30})
    assert [m.index for m in found] == list(range(50))
    assert all(set(m.numbers.values()) == {m.index} for m in found)
    assert sum("b" in m.numbers for m in found) == 40


def test_thirty_and_sixty_a_second_meet_at_the_slower_ones_moments() -> None:
    found = pair_by_time({"slow": np.arange(60) / 30, "fast": np.arange(120) / 60})
    assert len(found) == 60 and all(m.numbers["fast"] == 2 * m.numbers["slow"] for m in found)


@pytest.mark.parametrize("rates", [(25.0, 30.0), (29.97, 30.0), (24.0, 59.94)])
def test_any_two_rates_stay_together(rates: tuple[float, float]) -> None:
    times = {str(k): np.arange(int(60 * rate)) / rate for k, rate in enumerate(rates)}
    found = [m for m in pair_by_time(times) if len(m.numbers) == 2]
    apart = [abs(times["0"][m.numbers["0"]] - times["1"][m.numbers["1"]]) for m in found]
    # Half of the slower one's interval, and what a pair may be kept beyond it (STEADY).
    assert max(apart) < 0.66 / rates[0] and len(found) > 0.99 * 60 * rates[0]


def test_a_gap_is_a_gap_and_what_follows_is_in_its_place() -> None:
    kept = np.delete(np.arange(60), [20, 21, 40])
    found = pair_by_time({"whole": np.arange(60) / 30, "gaps": kept / 30})
    assert [m.index for m in found if "gaps" not in m.numbers] == [20, 21, 40]
    assert all(kept[m.numbers["gaps"]] == m.numbers["whole"] for m in found if "gaps" in m.numbers)


def test_moments_that_only_the_faster_camera_has_are_kept() -> None:
    slow = np.delete(np.arange(60), [20, 21]) / 30
    found = pair_by_time({"slow": slow, "fast": np.arange(120) / 60})
    assert [m.numbers.get("fast") for m in found] == list(range(0, 120, 2))


def test_clocks_half_an_interval_apart_that_jitter_lose_no_picture() -> None:
    jitter = 0.002 * np.random.default_rng(0).standard_normal(100)
    found = pair_by_time({"a": np.arange(100) / 30, "b": (np.arange(100) + 0.5) / 30 + jitter})
    assert len({m.numbers["a"] - m.numbers["b"] for m in found if len(m.numbers) == 2}) == 1
    assert sum(len(m.numbers) == 2 for m in found) >= 99


def test_a_camera_that_began_later_is_paired_from_there_on() -> None:
    found = pair_by_time({"a": np.arange(100) / 30, "b": 1.0 + np.arange(70) / 30})
    assert {m.numbers["a"] - m.numbers["b"] for m in found if len(m.numbers) == 2} == {30}


def test_single_pictures_are_one_moment() -> None:
    assert [dict(m.numbers) for m in pair_by_time({"a": np.zeros(1), "b": np.zeros(1)})] == [{"a": 0, "b": 0}]
