"""What the report says of how much was seen and of what is wrong with an avatar."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulacra.tools.report.avatar_notes import ACCOUNT, avatar_notes

FAULTS = {
    "spikes": 3, "floaters": 40, "floater_clusters": 2, "cracks": 0.00123, "see_through": 0.004,
    "cracks_at_rest": 0.0005, "see_through_at_rest": 0.01,
}  # fmt: skip


def said(folder: Path, account: dict[str, object]) -> list[tuple[str, str]]:
    (folder / ACCOUNT).write_text(json.dumps(account))
    return [(note.level, note.text) for note in avatar_notes(folder)]


def test_shares_and_faults_are_said(tmp_path: Path) -> None:
    seen, faults = said(tmp_path, {"gaussians": 100, "seen_share": 0.4546, "faults": FAULTS})
    assert seen[0] == "info" and seen[1].startswith("45.5 % of the Gaussians were seen in some training view")
    assert faults == (
        "info",
        "Faults: 3 spikes, 40 floating Gaussians in 2 clusters; of the person's pixels in training views 0.12 % are "
        "cracks and 0.40 % show through, at rest from all round 0.05 % and 1.00 %.",
    )


@pytest.mark.parametrize("where", ["cracks", "see_through", "cracks_at_rest", "see_through_at_rest"])
def test_much_of_it_is_a_warning(tmp_path: Path, where: str) -> None:
    ((level, _),) = said(tmp_path, {"faults": FAULTS | {where: 0.03}})
    assert level == "warning"


def test_what_has_no_body_has_nothing_at_rest(tmp_path: Path) -> None:
    ((_, text),) = said(tmp_path, {"faults": FAULTS | {"cracks_at_rest": None, "see_through_at_rest": None}})
    assert text.endswith("show through.")


def test_meshes_and_earlier_runs(tmp_path: Path) -> None:
    assert avatar_notes(tmp_path) == () and said(tmp_path, {"gaussians": 5}) == []
    ((_, text),) = said(tmp_path, {"vertices": 9, "seen_share": 1.0})
    assert text.startswith("100.0 % of the vertices were seen")
