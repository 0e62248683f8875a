"""What the server says of runs in any state, and what it does not load for that."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import simulacra.tools.viewer
from simulacra.recon.runs.repair import repair_run
from simulacra.render.runtime.errors import InputError
from simulacra.tools.viewer.cache import ByteCache
from simulacra.tools.viewer.entries import find_entries
from simulacra.tools.viewer.preparation import Preparation
from simulacra.tools.viewer.summary import read_summary
from tests.tools.viewer.serving import (
    SIZE,
    get,
    get_json,
    ids_of,
    person,
    served,
    write_png,
    write_scored_run,
)

VIEWS = {("a", 0): 20.0, ("a", 1): 15.0, ("b", 0): 30.0, ("b", 1): 10.0}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_scored_run(tmp_path / "one", VIEWS)
    write_scored_run(tmp_path / "two", {view: value + 1.5 for view, value in VIEWS.items()}, shift=3)
    return tmp_path


@pytest.fixture
def address(runs: Path) -> Iterator[str]:
    with served([runs]) as found:
        yield found


def decoded(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def wait_for_checks(address: str, name: str) -> dict:
    for _ in range(200):
        found = get_json(f"{address}/api/entry/{name}/checks")
        if found["done"]:
            return found
        time.sleep(0.05)
    raise AssertionError("the checks do not end")


def test_worst_views_of_all_runs_come_first(address: str) -> None:
    ids = ids_of(address)
    both = ",".join(ids.values())
    rows = get_json(f"{address}/api/worst?ids={both}&metric=psnr_fg")["rows"]
    assert [row["value"] for row in rows] == sorted([*VIEWS.values(), *(v + 1.5 for v in VIEWS.values())])
    assert (rows[0]["id"], rows[0]["camera"], rows[0]["frame"]) == (ids["one"], "b", 1)
    rows = get_json(f"{address}/api/worst?ids={both}&metric=psnr_fg&camera=a&each=1")["rows"]
    assert [(row["id"], row["value"]) for row in rows] == [(ids["one"], 15.0), (ids["two"], 16.5)]
    assert get_json(f"{address}/api/worst?ids={both}&metric=no_such")["rows"] == []
    assert (
        get_json(f"{address}/api/worst?ids=gone,{ids['one']}&metric=psnr_fg&most=2")["rows"][0]["value"] == 10
    )


def test_strips_have_a_line_a_camera(address: str) -> None:
    found = get_json(f"{address}/api/entry/{ids_of(address)['one']}/strip?metric=psnr_fg")
    assert found["cameras"] == {
        "a": {"frames": [0, 1], "values": [20.0, 15.0]},
        "b": {"frames": [0, 1], "values": [30.0, 10.0]},
    }


def test_pictures_of_scored_views_are_those_of_the_run(address: str) -> None:
    name = ids_of(address)["one"]
    for layer, expected in (("person", person()), ("render", person(1))):
        status, content, headers = get(f"{address}/picture/{name}/{layer}/a/0")
        assert status == 200 and headers["content-type"] == "image/png"
        np.testing.assert_array_equal(decoded(content), expected)
    small = decoded(get(f"{address}/picture/{name}/render/a/0?side=32")[1])
    assert small.shape == (32, 32, 3)


def test_a_difference_is_of_the_outline_where_only_the_outline_moved(address: str) -> None:
    """The figures are of one gray, a pixel apart: inside nothing differs."""
    name = ids_of(address)["one"]
    assert (
        decoded(get(f"{address}/picture/{name}/difference/a/0?part=inside")[1]).max() <= 4
    )  # the map's black
    outline = decoded(get(f"{address}/picture/{name}/difference/a/0?part=outline")[1])
    assert outline[30, 22].min() > 200 and outline[30, 42].min() > 200  # beyond full scale: white
    assert outline[30, 30].max() == 0
    zones = get_json(f"{address}/api/entry/{name}/numbers/a/0")
    assert zones["scores"] == {"psnr_fg": 20.0}
    assert zones["zones"]["outline_share"] == pytest.approx(1.0) and zones["zones"]["inside_db"] == 100.0
    assert get(f"{address}/picture/{name}/difference/a/0?part=other")[0] == 404


def test_the_change_between_two_runs_is_red_where_it_is_worse(address: str) -> None:
    """Shifted by 3 pixels in place of 1: columns 23 and 24 were right and are not."""
    ids = ids_of(address)
    changed = decoded(get(f"{address}/picture/{ids['two']}/change/a/0?other={ids['one']}")[1]).astype(int)
    assert (changed[30, 23] == [255, 80, 60]).all()
    back = decoded(get(f"{address}/picture/{ids['one']}/change/a/0?other={ids['two']}")[1]).astype(int)
    assert (back[30, 23] == [80, 150, 255]).all()
    assert np.ptp(changed[30, 33]) == 0  # gray: nothing changed
    apart = decoded(get(f"{address}/picture/{ids['two']}/against/a/0?other={ids['one']}")[1])
    assert apart[30, 23].min() > 200 and apart[30, 33].max() <= 4


@pytest.mark.parametrize(
    "path",
    [
        "render/a/7", "render/c/0", "render/..%2f..%2fa/0", "nothing/a/0", "change/a/0", "against/a/0?other=none",
        "photo/a/0", "body/a/0",
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_and_nothing_breaks(address: str, path: str) -> None:
    status, content, _ = get(f"{address}/picture/{ids_of(address)['one']}/{path}")
    assert status in (404, 409)
    assert (status == 404 and content == b"Not Found") or json.loads(content)["lines"]


def test_a_run_that_is_damaged_says_so_and_its_pictures_are_not_given(runs: Path) -> None:
    write_png(runs / "one" / "evaluate" / "views" / "a_000000_render.png", person(9))
    with served([runs]) as address:
        ids = ids_of(address)
        get_json(f"{address}/api/entry/{ids['one']}")
        found = wait_for_checks(address, ids["one"])
        assert "not what was written" in found["stages"]["evaluate"]
        status, content, _ = get(f"{address}/picture/{ids['one']}/render/a/0")
        assert status == 409 and "repair" in json.loads(content)["lines"][-1]
        get_json(f"{address}/api/entry/{ids['two']}")
        assert wait_for_checks(address, ids["two"])["stages"] == {"evaluate": None}


def test_a_run_may_go_and_come_and_be_made_again(runs: Path, address: str) -> None:
    ids = ids_of(address)
    before = get_json(f"{address}/api/entry/{ids['one']}")
    shutil.move(runs / "one", runs / "aside")
    assert get(f"{address}/api/entry/{ids['one']}")[0] == 409
    assert get(f"{address}/picture/{ids['one']}/render/a/0")[0] == 409
    assert set(ids_of(address)) == {"aside", "two"}
    shutil.move(runs / "aside", runs / "one")
    again = write_scored_run(runs / "one", {("a", 5): 12.0})
    os.utime(again / "run.json", ns=(1, 1))
    found = get_json(f"{address}/api/entry/{ids['one']}")
    assert found["scored"] == [["a", 5]] and found["stamp"] != before["stamp"]
    assert get(f"{address}/picture/{ids['one']}/render/a/5")[0] == 200


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"scores": 3, "held_out": {"views": [3, {"camera": "../x"}]}}']
)
def test_a_half_written_run_is_shown_as_far_as_it_goes(runs: Path, content: str) -> None:
    (runs / "one" / "evaluate" / "metrics.json").write_text(content)
    (runs / "two" / "run.json").unlink()
    first, second = (read_summary(entry) for entry in find_entries([runs / "one", runs / "two"]))
    assert first.scores == {} and first.scored == ()
    assert second.scored and any("not complete" in problem for problem in second.problems)


def test_runs_are_found_below_a_folder_and_named_apart(runs: Path) -> None:
    (runs / "deeper" / "one").mkdir(parents=True)
    shutil.copytree(runs / "one", runs / "deeper" / "one", dirs_exist_ok=True)
    found = find_entries([runs])
    assert [entry.name for entry in found] == ["deeper/one", f"{runs.name}/one", f"{runs.name}/two"]
    assert len({entry.id for entry in found}) == 3
    assert find_entries([runs / "one"])[0].id == found[1].id


def test_tags_outlive_a_repair(runs: Path) -> None:
    (runs / "one" / "tags.jsonl").write_text("{}\n")
    repair_run(runs / "one")
    assert (runs / "one" / "tags.jsonl").exists()


def test_a_cache_holds_no_more_than_it_may_and_makes_each_once() -> None:
    cache, made = ByteCache(100, len), []

    def make(name: str, size: int) -> bytes:
        return cache.get(name, lambda: made.append(name) or bytes(size))  # type: ignore[func-returns-value]

    for name in "abca":
        make(name, 40)
    assert made == ["a", "b", "c", "a"] and cache.held_bytes == 80  # a had gone when c came
    make("large", 101)
    assert cache.held_bytes == 80
    make("a", 40)
    assert made[-1] == "large"


def test_what_is_opened_ahead_is_opened_once_and_in_turn_and_says_how_far_it_is() -> None:
    preparation, done, gate = Preparation(), [], threading.Event()

    def fail() -> None:
        done.append("failed")
        raise InputError("the capture has gone")

    steps = [("opening", gate.wait), ("failing", fail), ("drawing", lambda: done.append("drawn"))]
    assert preparation.state("one", steps)["doing"] == "opening"
    assert preparation.state("one", steps)["doing"] == "opening"
    assert preparation.state("two", [("waiting", lambda: done.append("second"))])["doing"] == "waiting"
    assert done == []
    gate.set()
    for key in ("one", "two"):
        wait_until(lambda key=key: preparation.state(key, [])["doing"] is None)
    assert done == ["failed", "drawn", "second"]
    gate.clear()
    preparation.state("three", [("opening", gate.wait), ("drawing", lambda: done.append("late"))])
    preparation.close()
    gate.set()
    wait_until(lambda: preparation.state("three", [])["doing"] is None)
    assert done == ["failed", "drawn", "second"]  # the server ends: no further step begins


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_long_run_is_binned_and_small(tmp_path: Path) -> None:
    frames = 10_000
    values = {("a", f): 20 + 0.001 * f for f in range(frames)} | {("a", 777): 3.0}
    run = write_scored_run(tmp_path / "one", {("a", 0): 1.0})
    views = [{"camera": c, "frame": f, "value": v} for (c, f), v in values.items()]
    metrics = json.loads((run / "evaluate" / "metrics.json").read_text())
    metrics["scores"]["psnr_fg"]["views"] = views
    (run / "evaluate" / "metrics.json").write_text(json.dumps(metrics))
    with served([run]) as address:
        name = ids_of(address)["one"]
        line = get_json(f"{address}/api/entry/{name}/strip?metric=psnr_fg")["cameras"]["a"]
        assert len(line["frames"]) <= 1500 and min(line["values"]) == 3.0  # of each bin the worst
        assert get_json(f"{address}/api/worst?ids={name}&metric=psnr_fg")["rows"][0]["frame"] == 777


def test_the_documents_have_the_pages_keys() -> None:
    script = (Path(simulacra.tools.viewer.__path__[0]) / "page" / "main.js").read_text("utf-8")
    listed = script[script.index("const KEYS") : script.index("];", script.index("const KEYS"))]
    said = re.findall(r'^  \["([^"]+)", "([^"]+)"', listed, re.MULTILINE)
    page = Path(__file__).parents[3] / "docs" / "view.md"
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", page.read_text("utf-8"), re.MULTILINE)
    assert len(said) == 20 and said == rows


def test_neither_the_command_nor_scored_views_load_torch(runs: Path) -> None:
    program = f"""
import sys
import threading
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
from tests.tools.viewer.serving import served, get, get_json, ids_of
with served([Path({str(runs)!r})]) as address:
    name = ids_of(address)["one"]
    get_json(f"{{address}}/api/entry/{{name}}")
    for layer in ("render", "person", "difference"):
        assert get(f"{{address}}/picture/{{name}}/{{layer}}/a/0")[0] == 200
    get_json(f"{{address}}/api/worst?ids={{name}}&metric=psnr_fg")
print(sorted({{"torch", "numba", "scipy"}} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]", found.stdout
    assert SIZE == 64


def test_the_address_is_printed_with_nothing_loaded_that_a_page_does_not_need(runs: Path) -> None:
    program = f"""
import sys, uvicorn
from simulacra.tools.cli import main

loaded = {{"numpy", "cv2", "PIL", "pydantic", "rich", "torch", "numba", "scipy"}}
uvicorn.Server.run = lambda self, sockets: print(sorted(loaded & set(sys.modules)))
main(["view", {str(runs)!r}])
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    address, left = found.stdout.splitlines()
    assert "http://127.0.0.1:" in address and left == "[]"
