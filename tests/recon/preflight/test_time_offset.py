"""How offsets are said: which way, and what is beyond the search without a number of its own."""

from simulacra.recon.preflight.consistency import _say_offsets


def test_a_camera_that_began_later_is_said_to_have() -> None:
    check = _say_offsets({"a": 0.0, "b": -30.2, "c": 0.4}, "right to a frame", ())
    assert (check.status, check.where, check.measured) == ("warn", "b", -30.2)
    assert check.evidence == "b began 30.2 frames later; right to a frame"
    assert "simulacra synchronise SESSION --out NEW" in check.remedy


def test_the_end_of_the_search_is_no_answer() -> None:
    check = _say_offsets({"a": 0.0, "b": 0.1}, "", ("c",))
    assert (check.status, check.where, check.unit) == ("warn", "c", "frames and more, either way")
    assert "c: no lag within 8 frames explains it" in check.evidence


def test_cameras_in_time_pass() -> None:
    check = _say_offsets({"a": 0.0, "b": 0.31}, "standard errors: a 0.1, b 0.1 frames", ())
    assert (check.status, check.where, check.measured) == ("pass", "b", 0.31)
