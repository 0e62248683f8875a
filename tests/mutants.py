"""Breaks the wiring of the product on purpose, one place at a time, and shows whether tests notice.

    python tests/mutants.py [--only NAME] [--allow 1]

Mathematics is held by planted answers; which record, list, frame or camera a stage is handed breaks more quietly. Each
mutant is one exact text of one file, what it becomes, and the tests that should fail. A copy of the tree is changed,
never the tree. It takes an hour: it is run by hand when a main part has changed, and it is no test.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIPELINE, PROTOCOL = "tests/recon/test_pipeline.py", "tests/recon/evaluate/test_protocol.py"
ENERGY, EVIDENCE = "tests/recon/fit/test_energy.py", "tests/recon/fit/test_evidence.py"
FIT, VIEWS, LOOP = (
    "tests/recon/fit/test_fit.py",
    "tests/recon/avatar/test_views.py",
    "tests/recon/avatar/test_loop.py",
)


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        file: of the tree.
        text: what stands there, exactly once.
        becomes: what takes its place.
        tests: arguments of pytest.
    """

    name: str
    file: str
    text: str
    becomes: str
    tests: tuple[str, ...]


MUTANTS = [
    Mutant("colors trained on all frames", "recon/pipeline.py",
           "open_frames = protocol.training_frames", "open_frames = protocol.frames", (PIPELINE,)),
    Mutant("avatar's key forgets fit and surface", "recon/pipeline.py",
           'log.digests("observe", "fit", "refine")', 'log.digests("observe")', (PIPELINE,)),
    Mutant("mask cost not times depth", "recon/fit/costs/mask.py",
           "self.weight.shape[:2]) * depth", "self.weight.shape[:2])", (ENERGY,)),
    Mutant("contradicted depth kept", "recon/fit/evidence.py",
           "points[keep], towards[keep]", "points, towards", (EVIDENCE,)),
    Mutant("15 mm before the depth", "recon/fit/costs/depth.py",
           "relu(-gap) / self.inside_m", "relu(-gap) / self.outside_m", (ENERGY,)),
    Mutant("lagging camera's mask of another frame", "recon/fit/evidence.py",
           "at = frame + int(np.round(tracks.offsets.frames[column]))", "at = frame", (EVIDENCE,)),
    Mutant("scores ignore adjusted cameras", "recon/evaluate/reconstruction.py",
           "session if fit is None else fit.adjusted(session)", "session", (PIPELINE,)),
    Mutant("later pieces change shape", "recon/fit/piece.py",
           '{"shape", "bias"} if before is None', '{"shape", "bias"} if True', (EVIDENCE,)),
    Mutant("stages see held-out cameras", "recon/pipeline.py",
           "seen = session.with_cameras(protocol.training_cameras)", "seen = session", (PIPELINE,)),
    Mutant("surface of a held-out frame", "recon/pipeline.py",
           "protocol.training_frames[0]", "protocol.frames[-1]", (PIPELINE,)),
    Mutant("fused and trained with cameras as described", "recon/pipeline.py",
           "placed = fit.adjusted(seen)", "placed = seen", (PIPELINE,)),
    Mutant("surface's key forgets the fit", "recon/pipeline.py",
           'before = key | log.digests("observe", "fit")', 'before = key | log.digests("observe")', (PIPELINE,)),
    Mutant("fit's key forgets what was observed", "recon/pipeline.py",
           'key | log.digests("observe"), fit_it', "key, fit_it", (PIPELINE,)),
    Mutant("avatar's key forgets its frames", "recon/pipeline.py",
           "key | colors | log", "key | log", (PIPELINE,)),
    Mutant("scores' key forgets the avatar", "recon/pipeline.py",
           'log.digests("avatar", "fit", "observe")', 'log.digests("fit", "observe")', (PIPELINE,)),
    Mutant("keys forget which cameras", "recon/pipeline.py",
           '"cameras": ",".join(cameras),', '"cameras": "",', (PIPELINE,)),
    Mutant("lagging camera trained at the rig's moment", "recon/avatar/placement.py",
           "person.pose_of(*view)", "person.pose_of(view[0], None)", (PIPELINE,)),
    Mutant("lagging camera scored at the rig's moment", "recon/evaluate/reconstruction.py",
           "posed.at(frame, camera)", "posed.at(frame)", (PIPELINE,)),
    Mutant("a lag the other way round", "recon/fit/record.py",
           "np.interp(frame - lag", "np.interp(frame + lag", (FIT, PIPELINE)),
    Mutant("training mask of another frame", "recon/avatar/views.py",
           "image, mask_of(frame, camera)", "image, mask_of(there[0], camera)", (VIEWS, PIPELINE)),
    Mutant("window not cropped from the camera", "recon/avatar/views.py",
           "view = view.cropped(int(x0), int(y0)", "view = view.cropped(0, 0", (VIEWS,)),
    Mutant("gains of the first camera for all", "recon/avatar/gaussian_trainee.py",
           'leaves["gains"][camera]', 'leaves["gains"][0]', (LOOP, PIPELINE)),
    Mutant("scored on what was trained", "recon/evaluate/protocol.py",
           "if not everything.seen(view)]", "if everything.seen(view)]", (PROTOCOL,)),
    Mutant("training starts anew after a kill", "recon/avatar/loop.py",
           "restore_checkpoint(folder, trainee.device) or begin", "begin", (PIPELINE,)),
]  # fmt: skip


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """The tree in a folder whose parent is where its modules are imported from; compiled kernels come along."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "simulacra"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "build"))
        imported = run_python(
            tree, "-c", "from simulacra.recon import pipeline; print(pipeline.__file__)"
        ).stdout.strip()
        if not imported.startswith(folder):
            sys.exit(f"tests of the copy would import {imported or 'nothing'}, not the copy")
        yield tree


def run_python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the copy, with the copy's modules before installed ones."""
    paths = {"PYTHONPATH": os.pathsep.join([str(tree.parent), str(tree)])}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=os.environ | paths,
        capture_output=True,
        text=True,
        check=False,
    )


def mutate(source: str, mutant: Mutant) -> str:
    """The file's text with the fault in it."""
    if source.count(mutant.text) != 1:
        sys.exit(
            f"mutant {mutant.name!r}: {source.count(mutant.text)} places in {mutant.file} read {mutant.text!r}"
        )
    return source.replace(mutant.text, mutant.becomes)


def do_fail(tree: Path, tests: Sequence[str]) -> bool:
    """Whether a test fails; anything else that stops pytest is an error."""
    done = run_python(tree, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests)
    if done.returncode not in (0, 1) or " in " not in done.stdout[-200:]:
        sys.exit(f"pytest did not run {tests}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 1


def is_killed(tree: Path, mutant: Mutant) -> bool:
    """Whether its tests notice; the file is put back."""
    path = tree / mutant.file
    whole = path.read_text("utf-8")
    path.write_text(mutate(whole, mutant), "utf-8")
    try:
        return do_fail(tree, mutant.tests)
    finally:
        path.write_text(whole, "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="the mutant of this name")
    parser.add_argument("--allow", type=int, default=1, help="how many may survive")
    asked = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if asked.only in (None, mutant.name)]
    if not chosen:
        sys.exit(f"no mutant {asked.only!r}; there are: {', '.join(mutant.name for mutant in MUTANTS)}")
    for mutant in MUTANTS:
        mutate((ROOT / mutant.file).read_text("utf-8"), mutant)
    survivors = 0
    with copy_of_the_tree() as tree:
        # The control: a test that fails by itself would kill every mutant.
        if do_fail(tree, sorted({test for mutant in chosen for test in mutant.tests})):
            sys.exit("the tests fail without any mutant")
        for mutant in chosen:
            killed = is_killed(tree, mutant)
            survivors += not killed
            print(f"{'killed  ' if killed else 'SURVIVED'}  {mutant.name:45s} {mutant.file}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} killed")
    return int(survivors > asked.allow)


if __name__ == "__main__":
    sys.exit(main())
