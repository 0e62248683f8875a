"""Parts of stages: once for the same key, again for another, after damage, and on from where they were stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from simulacra.recon.runs.parts import Parts


def test_a_part_is_made_once_for_each_key_and_again_when_damaged(tmp_path: Path) -> None:
    parts, made = Parts(tmp_path / "parts", {"fit": "digest"}), []

    def get(version: int = 1, steps: int = 3, where: Parts = parts) -> str:
        def compute(folder: Path) -> None:
            made.append((version, steps))
            (folder / "said").write_text(f"{version} {steps}")

        return (where.made("start", version, {"steps": steps}, compute) / "said").read_text()

    assert [get(), get(steps=4), get(), get(steps=4), get(version=2)] == ["1 3", "1 4", "1 3", "1 4", "2 3"]
    assert made == [(1, 3), (1, 4), (2, 3)]
    get(where=replace(parts, inputs={"fit": "another"}))
    assert len(made) == 4
    for file in parts.root.glob("start-*/said"):
        file.write_text("damaged")
    assert get() == "1 3" and len(made) == 5


def test_a_part_that_was_stopped_finds_what_it_left(tmp_path: Path) -> None:
    parts, found = Parts(tmp_path / "parts", {}), []

    def compute(folder: Path) -> None:
        found.append((folder / "half").exists())
        (folder / "half").write_text("")
        if len(found) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts.made("start", 1, {}, compute)
    assert (parts.made("start", 1, {}, compute) / "half").is_file()
    assert found == [False, True]
