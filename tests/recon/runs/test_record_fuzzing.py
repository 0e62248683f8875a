"""Some hundred damaged sessions, records and runs, and proof that the harness would notice."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.fit import load_fit, record
from simulacra.recon.runs.files import write_arrays
from simulacra.render.body import load_body
from simulacra.render.runtime.errors import AssetError, RunError
from tests.recon.runs import record_fuzzing
from tests.recon.runs.planted_records import write_records
from tests.recon.runs.record_fuzzing import fuzz_records

# Named errors that may come, beside what is read after all.
MAY_END = {
    "session": {"read", "InputError", "CalibrationError"},
    "records": {"read", "RunError"},
    "runs": {"read", "RunError", "ConfigError"},
}


@pytest.fixture(autouse=True)
def body() -> None:
    try:
        load_body()
    except AssetError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", MAY_END)
def test_damage_ends_in_records_or_named_errors(tmp_path: Path, kind: str) -> None:
    ended, findings = fuzz_records(kind, range(1_000_000, 1_000_100), tmp_path)
    assert findings == []
    assert ended.total() == 100
    assert set(ended) <= MAY_END[kind]
    assert min(ended["read"], ended.total() - ended["read"]) > 10


def test_the_harness_would_notice_a_reader_that_names_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "record_errors", lambda path: nullcontext())
    monkeypatch.setattr(record_fuzzing, "READ", {"fit": record_fuzzing.READ["fit"]})
    _, findings = fuzz_records("records", range(20), tmp_path)
    assert any("in mapped.py" in finding.what for finding in findings)
    assert any("in records.py" in finding.what for finding in findings)


def test_an_array_of_another_shape_is_named(tmp_path: Path) -> None:
    write_records(tmp_path)
    with np.load(tmp_path / "fit/fit.npz") as stored:
        arrays = dict(stored)
    write_arrays(tmp_path / "fit/fit.npz", **arrays | {"residual_px": arrays["residual_px"][..., :32]})
    with pytest.raises(RunError, match=r"residual_px is float64 \[2, 1, 32\], not .*BodyFit"):
        load_fit(tmp_path / "fit")
