"""Videos of different and varying rates: paired by their stamps, or refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from simulacra.recon.importers.film_moments import count_notes, film_moments, stated_rate
from simulacra.recon.session.video import VideoFacts
from simulacra.render.runtime.errors import InputError


def film(times: list[float | None]) -> VideoFacts:
    return VideoFacts(len(times), 64, 48, tuple(times))


def at(rate: float, count: int, first: float = 0.0) -> VideoFacts:
    return film([first + k / rate for k in range(count)])


PATHS = {name: Path(f"{name}.mp4") for name in ("a", "b", "c")}


def test_different_rates_are_paired_by_time_and_said() -> None:
    moments, notes = film_moments({"a": at(30, 60), "b": at(60, 120)}, PATHS)
    assert [m.numbers["b"] for m in moments] == list(range(0, 120, 2))
    assert len(notes) == 1 and "a 30.00 pictures a second, b 60.00" in notes[0] and "b 60 of 120" in notes[0]


def test_a_rate_that_varies_is_followed_by_its_stamps() -> None:
    # The second camera drops to half the rate after a second; counted by numbers it would end a second late.
    slow = [k / 30 for k in range(30)] + [1 + k / 15 for k in range(15)]
    moments, _ = film_moments({"a": at(30, 60), "b": film([float(t) for t in slow])}, PATHS)
    together = [m for m in moments if "b" in m.numbers]
    assert len(together) == 45 and all(
        abs(m.numbers["a"] / 30 - slow[m.numbers["b"]]) < 1e-9 for m in together
    )


def test_videos_are_taken_to_begin_together_whatever_their_stamps_begin_with() -> None:
    moments, notes = film_moments({"a": at(30, 20), "b": at(30, 20, first=3600.0)}, PATHS)
    assert all(m.numbers["a"] == m.numbers["b"] == m.index for m in moments)
    assert len(notes) == 1 and "synchronise" in notes[0]
    assert film_moments({"a": at(30, 20), "b": at(30, 20, first=0.066)}, PATHS)[1] == []


def test_without_stamps_numbers_count_unless_rates_differ() -> None:
    bare = film([None] * 40)
    moments, notes = film_moments({"a": at(30, 40), "b": bare}, PATHS)
    assert all(m.numbers["a"] == m.numbers["b"] for m in moments) and notes == []
    with pytest.raises(InputError, match=r"no time stamps[\s\S]*a 30\.00[\s\S]*c 60\.00[\s\S]*ffmpeg"):
        film_moments({"a": at(30, 40), "b": bare, "c": at(60, 80)}, PATHS)


def test_headers_say_rates_where_stamps_do_not() -> None:
    bare = film([None] * 60)
    facts = {"a": replace(bare, stated_rate=30.0), "b": replace(film([None] * 120), stated_rate=60.0)}
    moments, notes = film_moments(facts, PATHS)
    assert [m.numbers["b"] for m in moments] == list(range(0, 120, 2)) and "b 60.00" in notes[0]
    assert stated_rate(facts) == 30.0 and sum("by its header" in note for note in count_notes(facts)) == 2
    # Beside videos with stamps they are paired by theirs; the moments' times are the stamps'.
    mixed = {"a": at(30, 60), "b": facts["b"]}
    assert [m.numbers["b"] for m in film_moments(mixed, PATHS)[0]] == list(range(0, 120, 2))
    assert stated_rate(mixed) is None and stated_rate({"a": bare, "b": facts["b"]}) is None


def test_high_dynamic_range_is_said() -> None:
    facts = {"a": at(30, 5), "b": replace(at(30, 5), hdr="HLG")}
    (note,) = count_notes(facts)
    assert note.startswith("b is recorded in HDR (HLG)")
