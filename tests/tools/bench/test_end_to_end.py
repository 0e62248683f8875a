"""Two commits of a tree that only pretends to reconstruct: its stages take what a file of it says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from simulacra.render.runtime.errors import ConfigError, RunError
from simulacra.tools.bench.end_to_end import BESIDES, WHOLE, compare_turns, run

# Writes what a run says of itself, and who was called with what into a log; `Fail` in the name of a session fails.
CLI = """
import json, os, pathlib, sys
words = sys.argv[1:]
out = pathlib.Path(words[words.index("--out") + 1])
if "Fail" in words[1]:
    sys.exit("error: nobody is in view")
assert not out.exists()
out.mkdir()
here = pathlib.Path(__file__).resolve().parent
seconds = json.loads((here / "seconds.json").read_text())
stages = {name: {"seconds": s} for name, s in seconds.items()}
(out / "run.json").write_text(json.dumps({"stages": stages}))
with open(os.environ["CALLS"], "a") as log:
    log.write(json.dumps([seconds["fit"], words[:-1], os.environ.get("NUMBA_CACHE_DIR", "")]) + "\\n")
"""


def git(root: Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(root), *who, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def write_seconds(root: Path, **seconds: float) -> None:
    (root / "tools" / "seconds.json").write_text(json.dumps(seconds))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose last commit is tagged `old`, and that was changed since."""
    root = tmp_path / "tree"
    (root / "tools").mkdir(parents=True)
    (root / "tools" / "__init__.py").write_text("")
    (root / "tools" / "cli.py").write_text(CLI)
    git(root, "init", "-q")
    write_seconds(root, fit=4.0, refine=1.0, avatar=10.0)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "as it was")
    git(root, "tag", "old")
    write_seconds(root, fit=2.0, avatar=12.0)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls.jsonl"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    return root


def test_this_tree_and_a_commit_are_run_in_turns(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session, config = tmp_path / "session", tmp_path / "small.yaml"
    session.mkdir()
    config.write_text("{}")
    rows = run(session, against="old", config=str(config), repeats=2, as_json=True, source=tree / "tools")
    by_stage = {row.stage: row for row in rows}
    # A stage that only one of them has is not compared; what was not committed is of this tree.
    assert list(by_stage) == ["fit", "avatar", BESIDES, WHOLE]
    fit, avatar = by_stage["fit"], by_stage["avatar"]
    assert (fit.seconds, fit.against, fit.turns) == (2.0, 4.0, 2)
    assert fit.ratio == fit.least == fit.most == 0.5
    assert avatar.ratio == pytest.approx(1.2)
    assert [json.loads(line)["stage"] for line in capsys.readouterr().out.splitlines()] == list(by_stage)
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert [seconds for seconds, _, _ in calls] == [4.0, 2.0, 2.0, 4.0, 4.0, 2.0]
    for seconds, words, kernels in calls:
        assert words == ["reconstruct", str(session), "--config", str(config), "--out"]
        assert ("kernels" in kernels) == (seconds == 4.0)
    # Nothing is left in the repository.
    assert git(tree, "worktree", "list").count("\n") == 0
    assert "seconds.json" in git(tree, "status", "--short")


def test_ratios_are_of_runs_of_one_turn() -> None:
    """A machine that is ten times slower in one turn is so for both."""
    ours = [{"fit": 1.0}, {"fit": 10.0}, {"fit": 1.2}]
    theirs = [{"fit": 2.0}, {"fit": 20.0}, {"fit": 2.0, "refine": 1.0}]
    (row,) = compare_turns(ours, theirs)
    assert (row.ratio, row.least, row.most) == (0.5, 0.5, 0.6)
    assert (row.seconds, row.against, row.turns) == (1.0, 2.0, 3)


def test_what_fails_is_told_and_leaves_nothing(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such commit"):
        run(tmp_path, against="never", repeats=1, source=tree)
    with pytest.raises(ConfigError, match="no git checkout"):
        run(tmp_path, against="old", repeats=1, source=tmp_path)
    with pytest.raises(RunError, match="could not reconstruct") as caught:
        run(tmp_path / "Fail", against="old", repeats=1, source=tree)
    assert "nobody is in view" in str(caught.value.found)
    assert git(tree, "worktree", "list").count("\n") == 0
