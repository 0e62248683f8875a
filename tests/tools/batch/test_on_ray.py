"""The same tasks on a Ray cluster: as from a loop, whatever is killed, and without a report to anybody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("ray")

from simulacra.recon.runs.progress import Progress
from simulacra.tools.batch.events import EVENTS_FILE, Events
from simulacra.tools.batch.on_ray import run_on_ray
from simulacra.tools.batch.running import Patience, run_tasks
from tests.tools.batch.jobs import JOB
from tests.tools.batch.test_batch import task, tries


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_on_ray_the_same_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(__file__).resolve().parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    outs = {name: tmp_path / name for name in ("loop", "ray")}
    counts = {}
    for name, out in outs.items():
        tasks = [task(out, f"t{k}") for k in range(3)]
        tasks += [task(out, "killed", kill="1"), task(out, "poisoned", poison="1")]
        out.mkdir()
        with Progress("runs", len(tasks)) as progress:
            events = Events(out / EVENTS_FILE, progress)
            patience = Patience(3, 0.01)
            if name == "ray":
                run_on_ray(tasks, out, events, workers=2, patience=patience, job=JOB)
            else:
                run_tasks(tasks, out, events, workers=1, patience=patience, job=JOB)
        counts[name] = dict(events.counts)
        assert list(events.failed) == ["poisoned"]
    assert counts["ray"] == counts["loop"] == {"done": 4, "failed": 1, "again": 1}
    from ray._private.usage import usage_lib

    assert not usage_lib.usage_stats_enabled()
    for k in range(3):
        mine, its = (outs[name] / f"t{k}" / "result.json" for name in ("loop", "ray"))
        assert mine.read_bytes() == its.read_bytes()
    assert tries(outs["ray"], "killed") == 2
