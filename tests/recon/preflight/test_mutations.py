"""A few mutations of a real and of a synthetic capture; all of them: `python -m tests.recon.preflight.mutations`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simulacra.recon.importers.options import RgbdRigOptions
from simulacra.recon.importers.rgbd_rig import import_rgbd_rig
from simulacra.recon.preflight import Preflight
from simulacra.recon.preflight.samples import NetworkPersonDetector
from simulacra.recon.session import load_session
from tests.recon.ellipsoid_person import synthetic_session
from tests.recon.preflight.blind import Blind
from tests.recon.preflight.mutations import MUTATIONS, Mutation, cached_looks, checked, judge, kinds_of

BY_NAME = {mutation.name: mutation for mutation in MUTATIONS}
# Those that need no landmarks.
BLIND = (
    "positions x 1000 (mm)", "world axis flipped", "pictures of another size", "one camera black",
    "depth in mm read as 0.1 mm", "depth of another camera", "depth 10 px beside color", "depth full of holes",
    "masks of another camera", "masks inverted", "masks empty", "a file cut off", "a file missing",
)  # fmt: skip
# And those that do, of every kind one.
SEEING = ("calibrations of two cameras exchanged", "one turned by 1 degree", "one picture mirrored")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Preflight]:
    root = synthetic_session(tmp_path_factory.mktemp("mutations") / "s", cameras=6, size=384).root
    return root, checked(root, 12, Blind())


def test_mutations_have_names_of_their_own_and_are_enough() -> None:
    assert len(BY_NAME) == len(MUTATIONS) >= 30


@pytest.mark.parametrize("name", BLIND)
def test_a_broken_synthetic_capture_is_named(synthetic: tuple[Path, Preflight], name: str) -> None:
    root, baseline = synthetic
    assert not baseline.failed()
    with cached_looks():
        verdict = judge(root, BY_NAME[name], baseline, "1", "4", Blind())
    assert verdict.named, [check.line() for check in verdict.others]


def test_nothing_broken_is_not_named(synthetic: tuple[Path, Preflight]) -> None:
    root, baseline = synthetic
    nothing = Mutation("nothing", lambda root, name, other: None, frozenset(), False)
    verdict = judge(root, nothing, baseline, "1", "4", Blind())
    assert not verdict.named and not verdict.others


@pytest.mark.slow
def test_a_broken_real_capture_is_named(capture_folder: Callable[[str], Path], tmp_path: Path) -> None:
    source = capture_folder("rgbd_stage8") / "static_data3"
    root = import_rgbd_rig(source, tmp_path / "session", RgbdRigOptions(depth_scale=10000.0)).root
    detector = NetworkPersonDetector()
    with cached_looks():
        baseline = checked(root, 12, detector)
        assert not baseline.failed() and {"depth", "masks", "three"} <= kinds_of(load_session(root))
        for name in SEEING:
            verdict = judge(root, BY_NAME[name], baseline, "1", "7", detector)
            assert verdict.named, (name, [check.line() for check in verdict.others])
