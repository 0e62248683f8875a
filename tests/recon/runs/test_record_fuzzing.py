"""Some hundred damaged sessions, records and runs, and proof that the harness would notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulacra.recon.fit import record
from simulacra.render.body import load_body
from simulacra.render.runtime.errors import AssetError
from tests.recon.importers import fuzzing
from tests.recon.runs import record_fuzzing
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
    ended, findings = fuzz_records(kind, range(1_000_000, 1_000_200), tmp_path)
    assert findings == []
    assert ended.total() == 200
    assert set(ended) <= MAY_END[kind]
    assert ended["read"] > 20 and ended.total() - ended["read"] > 20


def test_the_harness_would_notice_a_reader_that_checks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "check_arrays", lambda kind, arrays: None)
    monkeypatch.setattr(record_fuzzing, "READ", {"fit": record_fuzzing.READ["fit"]})
    monkeypatch.setattr(fuzzing, "LIMIT", 10.0)
    _, findings = fuzz_records("records", range(40), tmp_path)
    assert {finding.what.split()[0] for finding in findings} == {"TypeCheckError"}
