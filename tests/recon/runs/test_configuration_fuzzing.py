"""Some hundred damaged configurations, and what a file must not cost."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.runs import configuration, yaml_text
from simulacra.recon.runs.configuration import load_config
from simulacra.render.runtime.errors import ConfigError
from tests.recon.importers import fuzzing
from tests.recon.runs import configuration_fuzzing
from tests.recon.runs.configuration_fuzzing import fuzz_configurations

MULTIPLIED = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
HOSTILE = {
    "aliases that multiply": (MULTIPLIED, "aliases counted"),
    "aliases that nest": (
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 5000)),
        "levels deep",
    ),
    "an alias of itself": ("views: &v {held_out_cameras: *v}", "alias of what there is not"),
    "nesting": ("views: " + "[" * 100_000, "levels deep"),
    "block nesting": ("- " * 100_000, "levels deep"),
    "an integer of 5,000 digits": ("avatar: {steps: " + "9" * 5000 + "}", "5000 digits"),
    "a float of 5,000 digits": ("avatar: {steps: 0." + "9" * 5000 + "}", "5002 digits"),
    "an integer of 100 digits": ("avatar: {steps: " + "9" * 100 + "}", "1..1000000"),
    "1e999": ("refine: {voxel_mm: 1e999}", "0.5..200"),
    "a tag": ("refine: {voxel_mm: !!float x}", "no meaning"),
    "a key twice": ("refine: {voxel_mm: 1.0, voxel_mm: 2.0}", "twice"),
    "a key that is a list": ("? [a]\n: 1", "not text"),
    "two documents": ("--- {}\n--- {}", "more than one document"),
    "many values": ("views: {held_out_cameras: [" + "a," * 110_000 + "]}", "more than 100000 values"),
    "a large file": ("#" * (configuration.MOST_BYTES + 1), "too large"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_by_name_and_costs_little(tmp_path: Path, name: str) -> None:
    text, said = HOSTILE[name]
    path = tmp_path / "a.yaml"
    path.write_text(text)
    start = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load_config(ReconstructionConfig, path)
    # The dearest takes 0.7 s of one core; without the bounds aliases take minutes.
    assert time.process_time() - start < 20
    assert said in str(caught.value) and str(path) in str(caught.value.where)
    assert len(str(caught.value)) < 1000


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path):
        with pytest.raises(ConfigError, match="no file"):
            load_config(ReconstructionConfig, path)


def test_an_alias_is_what_it_stands_for(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "avatar: {steps: &n 7, align_steps: *n}\nviews: {held_out_cameras: &c ['1'], frame_step: 2}\n"
    )
    read = load_config(ReconstructionConfig, path)
    assert (read.avatar.steps, read.avatar.align_steps, read.views.held_out_cameras) == (7, 7, ("1",))  # type: ignore[union-attr]


def test_damaged_configurations_end_in_configurations_or_named_errors(tmp_path: Path) -> None:
    ended, findings = fuzz_configurations(range(1_000_000, 1_000_300), tmp_path)
    assert findings == []
    assert ended.total() == 300
    assert set(ended) == {"ConfigError", "configuration"}


def test_the_harness_would_notice_a_reader_without_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration_fuzzing, "_damage", lambda text, rng: MULTIPLIED.encode())
    monkeypatch.setattr(configuration_fuzzing, "MEMORY", 128 << 20)
    monkeypatch.setattr(fuzzing, "LIMIT", 2.0)
    monkeypatch.setattr(yaml_text, "MOST_NODES", 10**12)
    _, findings = fuzz_configurations(range(1), tmp_path)
    # Whichever comes first: the memory is used up, or the time.
    assert len(findings) == 1
    assert re.search("hang|MemoryError", findings[0].what)
