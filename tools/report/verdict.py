"""What a run comes to, in a sentence: by its scores and what they are of, and by the checks of its session."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulacra.recon.preflight import load_preflight
from simulacra.recon.preflight.codes import CODES
from simulacra.recon.preflight.record import PREFLIGHT_FILE, say_number
from simulacra.recon.preflight.verdict import Reason, Verdict, check_reasons, judge

# Overlap of the avatar and the person. Runs of sound captures have 0.80 (a desk) to 0.94 (a ring with depth); below a
# half there is more of either without the other than of both.
LEAST_OVERLAP, SOUND_OVERLAP = 0.5, 0.8


def judge_run(run: Path, described: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> Verdict:
    """Whether what a run made can be used.

    Args:
        described: its run.json.
        metrics: its metrics.json; None where it was not evaluated.

    Raises:
        RunError: its preflight.json is damaged.
    """
    return judge([*_score_reasons(metrics), *_person_reasons(described), *_session_reasons(run)])


def _score_reasons(metrics: Mapping[str, Any] | None) -> list[Reason]:
    if metrics is None:
        return [Reason("it was not evaluated", "score it: `simulacra evaluate RUN`", True)]
    reasons = []
    overlap = metrics["scores"].get("mask_iou", {}).get("mean")
    if overlap is not None and overlap < SOUND_OVERLAP:
        fault = f"avatar and person overlap by {say_number(overlap)} of 1 only"
        do = "look at the views below: is it the person, and where the cameras put them? then `simulacra check`"
        reasons.append(Reason(fault, do, overlap < LEAST_OVERLAP))
    if metrics["protocol"]["seen_in_training"]:
        fault = "it was scored on pictures that it was trained on, which says nothing of others"
        do = "hold some out: `--views.held-out-cameras`, or `--views.held-out-every` for frames"
        reasons.append(Reason(fault, do, False))
    return reasons


def _person_reasons(described: Mapping[str, Any]) -> list[Reason]:
    absent = described.get("frames_without_person")
    fault = f"the person could not be measured in frames {absent}"
    return [Reason(fault, "leave these frames out", False)] if absent else []


def _session_reasons(run: Path) -> list[Reason]:
    """None of them stops: a reconstruction that went past a failed check was told to."""
    folder = run / "preflight"
    if not (folder / PREFLIGHT_FILE).is_file():
        return []
    return check_reasons(load_preflight(folder).checks, ignore=tuple(CODES))
