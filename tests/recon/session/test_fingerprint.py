"""A session's fingerprint changes with every byte that a run reads, and with nothing else, cached or not."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.session import SESSION_FILE, Session, load_session
from simulacra.recon.session import fingerprint as module
from simulacra.recon.session.fingerprint import SessionWatch, watched
from simulacra.recon.session.truth import evidence_fingerprint
from simulacra.render.runtime import assets
from simulacra.render.runtime.errors import InputError, RunError
from tests.recon.ellipsoid_person import synthetic_session


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, in which files that were just written may be kept."""
    monkeypatch.setattr(module, "cache_root", lambda: tmp_path / "cache")
    monkeypatch.setattr(module, "GRANULARITY", 0)
    return tmp_path / "cache"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = synthetic_session(tmp_path / "session", cameras=2, frames=2)
    (made.root / "truth").mkdir()
    (made.root / "truth/truth.json").write_text("{}")
    np.savez(made.root / "joints.npz", joints=np.zeros(3))
    described = json.loads((made.root / SESSION_FILE).read_text()) | {"reference": "joints.npz"}
    (made.root / SESSION_FILE).write_text(json.dumps(described))
    return load_session(made.root)


def flip_middle(path: Path) -> None:
    """Another byte in the middle; size and mtime stay."""
    seen, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def describe(root: Path, **about: object) -> None:
    described = json.loads((root / SESSION_FILE).read_text())
    described["about"] |= about
    (root / SESSION_FILE).write_text(json.dumps(described))


def test_every_byte_counts_however_the_file_looks(session: Session) -> None:
    """Also where the hash of the unchanged file is cached, and its size and mtime are what they were."""
    seen = [session.fingerprint()]
    for name in ("images/0/000000.png", "masks/1/000001.png", "depth/0/000001.png"):
        time.sleep(0.01)  # ctime moves in steps of the kernel's clock, 4 ms
        flip_middle(session.root / name)
        seen.append(session.fingerprint())
    (session.root / "masks/0/000000.png").unlink()
    seen.append(session.fingerprint())
    describe(session.root, arguments={"depth_scale": 1.0})
    seen.append(load_session(session.root).fingerprint())
    assert len(set(seen)) == len(seen)


def test_what_no_run_reads_changes_nothing(session: Session, tmp_path: Path) -> None:
    before = session.fingerprint()
    (session.root / ".DS_Store").write_text("x")
    (session.root / "images/0/note.txt").write_text("x")
    (session.root / "masks/0/000009.png").write_text("of no frame")
    (session.root / "link").symlink_to(tmp_path)
    (session.root / "truth/truth.json").unlink()
    (session.root / "joints.npz").unlink()
    describe(session.root, subject="p17", consent="form 3", retain_until="2030-01-01")
    assert load_session(session.root).fingerprint() == before


def test_what_only_judges_is_evidence(session: Session) -> None:
    seen = [evidence_fingerprint(session)]
    for name in ("truth/truth.json", "joints.npz"):
        flip_middle(session.root / name)
        seen.append(evidence_fingerprint(session))
    (session.root / "truth/truth.json").unlink()
    seen.append(evidence_fingerprint(session))
    assert len(set(seen)) == len(seen)
    (session.root / "truth/.DS_Store").write_text("x")
    flip_middle(session.root / "images/0/000000.png")
    assert evidence_fingerprint(session) == seen[-1]


@pytest.mark.parametrize("place", ["images/0", "masks/0/000000.png", "truth/frames", "truth/a.npz"])
def test_links_that_lead_out_are_refused(session: Session, tmp_path: Path, place: str) -> None:
    """A folder as well as a file, after the session was loaded."""
    path = session.root / place
    if path.exists():
        path.rename(tmp_path / "moved")
    else:
        (tmp_path / "moved").mkdir()
    path.symlink_to(tmp_path / "moved")
    read = evidence_fingerprint if place.startswith("truth") else Session.fingerprint
    with pytest.raises(InputError, match="outside"):
        read(session)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read from now on."""
    read: list[Path] = []
    hash_file = module._hash
    monkeypatch.setattr(module, "_hash", lambda path: (read.append(path), hash_file(path))[1])
    return read


def test_files_are_read_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    time.sleep(0.02)  # "now" is later than the files
    read = counted(monkeypatch)
    before = session.fingerprint()
    assert len(read) == 2 * 2 * 3
    assert session.fingerprint() == before and len(read) == 12
    flip_middle(session.root / "images/0/000000.png")
    assert session.fingerprint() != before and len(read) == 13


def test_what_was_written_just_now_is_read_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRANULARITY", 2_000_000_000)
    read = counted(monkeypatch)
    assert session.fingerprint() == session.fingerprint()
    assert len(read) == 24


def test_a_spoilt_or_impossible_cache_is_none(
    session: Session, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time.sleep(0.02)
    before = session.fingerprint()
    (kept,) = (cache / module.CACHE_FOLDER).iterdir()
    kept.write_text('{"images/0/000000.png": [[1, 2], 3]}')
    assert session.fingerprint() == before
    monkeypatch.setattr(module, "cache_root", lambda: kept)  # a file where the folder would be
    assert session.fingerprint() == before


def test_the_suite_and_its_children_keep_nothing_with_the_user(cache_of_the_suite: Path) -> None:
    asked = "from simulacra.render.runtime.assets import cache_root; print(cache_root())"
    child = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert (assets.cache_root(), Path(child.stdout.strip())) == (cache_of_the_suite, cache_of_the_suite)
    assert not (cache_of_the_suite / module.CACHE_FOLDER).is_symlink()
    assert (cache_of_the_suite / "assets").is_symlink()


def test_nobody_is_at_home(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    before = session.fingerprint()

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(module, "cache_root", homeless)
    assert session.fingerprint() == before


# -- touched while it is read ----------------------------------------------------------------------


def put_back(session: Session) -> None:
    """Changed, and made what it was: bytes, size and mtime."""
    time.sleep(0.01)
    flip_middle(session.root / "images/0/000000.png")
    flip_middle(session.root / "images/0/000000.png")


def begin(session: Session, work: Path) -> None:
    (work / "masks").mkdir(parents=True)
    (work / "work.json").write_text("{}")
    (work / ".session").write_text(SessionWatch(session).sign)


def test_work_on_a_touched_session_is_not_kept(session: Session, tmp_path: Path) -> None:
    work = tmp_path / "work"
    begin(session, work)
    with pytest.raises(RunError, match="changed while"), watched(SessionWatch(session), work, "work.json"):  # noqa: PT012
        assert (work / "masks").exists()
        put_back(session)
    assert [path.name for path in work.iterdir()] == ["work.json"]


def test_an_error_that_the_change_caused_says_so(session: Session, tmp_path: Path) -> None:
    work = tmp_path / "work"
    begin(session, work)
    with pytest.raises(RunError, match="changed while"), watched(SessionWatch(session), work, "work.json"):  # noqa: PT012
        (session.root / "images/0/000000.png").unlink()
        session.image(0, "0")
    assert [path.name for path in work.iterdir()] == ["work.json"]


@pytest.mark.parametrize("touch", [False, True])
def test_an_interruption_stays_one(session: Session, tmp_path: Path, touch: bool) -> None:
    work = tmp_path / "work"
    begin(session, work)
    with pytest.raises(KeyboardInterrupt), watched(SessionWatch(session), work, "work.json"):  # noqa: PT012
        if touch:
            put_back(session)
        raise KeyboardInterrupt
    assert (work / "masks").exists() != touch


@pytest.mark.parametrize("touch", [False, True])
def test_killed_work_is_continued_only_on_what_it_was_begun_from(
    session: Session, tmp_path: Path, touch: bool
) -> None:
    work = tmp_path / "work"
    begin(session, work)  # and killed
    if touch:
        put_back(session)
    with watched(SessionWatch(session), work, "work.json"):
        assert (work / "masks").exists() != touch
    assert not (work / ".session").exists()
