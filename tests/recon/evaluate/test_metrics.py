"""The documents say of the metrics what the code says."""

import json
import re
from pathlib import Path

from simulacra.recon.evaluate.metrics import METRICS, VIEW_METRICS, documentation

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_documented_metrics_are_the_codes() -> None:
    assert (DOCS / "metrics.json").read_text("utf-8") == documentation()
    assert set(json.loads(documentation())["metrics"]) == set(METRICS)


def test_the_page_has_a_row_for_every_metric_with_its_unit_and_direction() -> None:
    page = (DOCS / "metrics.md").read_text("utf-8")
    for name, metric in METRICS.items():
        row = re.search(rf"^\| `{name}` \| *(\S*) *\| ([\w ]+) \|", page, re.MULTILINE)
        assert row, f"docs/metrics.md has no row for {name}"
        assert (row[1] or "1", row[2]) == (metric.unit, metric.better)


def test_metrics_of_views_are_metrics() -> None:
    assert set(VIEW_METRICS) < set(METRICS)
