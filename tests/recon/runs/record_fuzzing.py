"""Damages sessions and the records of runs as files go wrong or are made to, and holds their readers to their word.

    python -m tests.recon.runs.record_fuzzing session|records|runs|all --count 10000

Of every case the outcome must be a record, or a named error. Half of the damaged runs are sealed again, keys and
digests made to fit as by somebody who means harm. Findings are any other exception, a warning, a crash, more than
`LIMIT` seconds of `tests.recon.importers.fuzzing`, and more than `MEMORY` of memory. Cases are numbered and seeded by
number.
"""

from __future__ import annotations

import functools
import io
import random
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

from simulacra.recon.avatar import finished
from simulacra.recon.avatar.finished import open_avatar
from simulacra.recon.evaluate.again import check_complete
from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.runs.chain import check_records, finished_stages
from simulacra.recon.runs.configuration import load_config
from simulacra.recon.runs.repair import inspect_run, recorded_config, repair_run
from simulacra.recon.runs.run_folder import open_run, read_run_file
from simulacra.recon.session import SESSION_FILE, load_session
from simulacra.render.body import load_body
from simulacra.render.runtime.errors import UserError
from simulacra.tools.report.write import write_run_report
from tests.recon.ellipsoid_person import synthetic_session
from tests.recon.importers.fuzz_seeds import Seed
from tests.recon.importers.fuzzing import (
    Finding,
    RunCase,
    damage,
    damaged_bytes,
    finding_of,
    fuzzing_options,
    run_cases,
    tell_findings,
)
from tests.recon.runs.planted_records import JSON_READERS, READERS, seal, write_records

# Bytes beyond those of the parent. No file here is larger than 1 MB, and a picture of 96 pixels is the largest array.
MEMORY = 256 << 20
READ = {**READERS, **JSON_READERS}
DTYPES = (
    "<f8",
    "<f4",
    "<i8",
    "|u1",
    "|b1",
    "<U5",
    "<c16",
    "|S0",
    "|V3",
    ">f4",
    "<M8[s]",
    "|O",
    "<f2",
    "x",
    "<i2, <f4",
)
SHAPES = (
    "()",
    "(0,)",
    "(2,)",
    "(1000000000000,)",
    "(-1,)",
    "(2, 0, 3)",
    "(1,) * 9",
    "(" * 200,
    "(2.0,)",
    "",
    "(2, True)",
)


def damage_array(content: bytes, rng: random.Random) -> bytes:
    """An .npy of other numbers, another shape or type, or with a header that does not fit."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    kind = rng.randrange(8)
    if kind == 0:
        dtype, shape = rng.choice((*DTYPES, array.dtype.str)), rng.choice((*SHAPES, str(array.shape)))
        header = (
            f"{{'descr': '{dtype}', 'fortran_order': {rng.choice((True, False, 2))}, 'shape': {shape}, }}\n"
        )
        version = rng.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
        size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
        return b"\x93NUMPY" + version + size + header.encode() + array.tobytes()
    if kind == 1:
        return damaged_bytes(content, rng)
    if kind == 2:
        array = array[..., None] if rng.random() < 0.5 else array.reshape(-1)
    elif kind == 3:
        array = np.concatenate([array.reshape(-1)] * rng.choice((0, 2, 3)) or [array.reshape(-1)[:0]])
    elif kind == 4 and array.dtype.kind != "U":
        array = array.astype(rng.choice(("<f8", "<f4", "<i8", "|u1", "|b1", "<U5", "<f2", "<c16", ">f4")))
    elif array.size and array.dtype.kind in "fiu":
        values = (
            (np.nan, np.inf, -1, 0, 1, 1e30, 2**62, -(2**31)) if array.dtype.kind == "f" else (-1, 0, 1, 99)
        )
        array = array.copy()
        with np.errstate(all="ignore"):
            array.reshape(-1)[rng.randrange(array.size)] = np.array(rng.choice(values)).astype(array.dtype)
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def damage_archive(path: Path, rng: random.Random) -> None:
    """An .npz of which an array is damaged, gone, twice there, called otherwise or compressed; its checksums fit."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    kind = rng.randrange(8)
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[rng.choice(("x.npy", "../x.npy", "", "a/b.npy", "frames.npy", "x" * 300))] = members.pop(name)
    elif kind == 2:
        members[name] = members[rng.choice(sorted(members))]
    else:
        members[name] = damage_array(members[name], rng)
    method = rng.choice((zipfile.ZIP_STORED,) * 6 + (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    path.unlink()
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for one, content in members.items():
            archive.writestr(one, content)
        if kind == 7:
            archive.writestr(name, members[name])


def damage_run(run: Path, file: str, rng: random.Random) -> None:
    """One to three changes of a file of a run."""
    text = Seed(write=write_records, run=lambda src, out: None, calibration=(file,), media=())  # type: ignore[arg-type]
    for _ in range(rng.choice((1, 1, 2, 3))):
        path = run / file
        if path.suffix == ".npz" and path.is_file() and rng.random() < 0.8:
            try:
                damage_archive(path, rng)
                continue
            except Exception:  # noqa: BLE001 (damaged before: beyond any form)
                path.touch()
        damage(run, text, rng)


# -- cases -----------------------------------------------------------------------------------------


def run_session_case(template: Path, work: Path, case: int) -> Finding | str:
    """A session of which the description, or now and then a picture, is damaged."""
    rng = random.Random(f"session:{case}")
    root = _copy(template, work)
    file = SESSION_FILE if rng.random() < 0.85 else rng.choice(("images/0/000000.png", "masks/0/000000.png"))
    damage_run(root, file, rng)
    return _outcome(lambda: _read_session(root), case)


def run_record_case(template: Path, work: Path, case: int) -> Finding | str:
    """A record that is damaged in its content, read without regard to digests."""
    rng = random.Random(f"record:{case}")
    run = _copy(template, work)
    name = rng.choice(sorted(READ))
    file, read = READ[name]
    beside = sorted((run / file).parent.glob("*.json")) if name != "report" else []
    others = [path for path in beside if path.name not in ("stage.json", "key.json")]
    damage_run(run, rng.choice([file] * 3 + [path.relative_to(run).as_posix() for path in others]), rng)
    if name == "report":
        _seal(run)
    return _outcome(lambda: read(run), case)


def run_run_case(template: Path, work: Path, case: int) -> Finding | str:
    """A run of which a file is damaged, as every command opens it."""
    rng = random.Random(f"run:{case}")
    run = _copy(template, work)
    stages = ("fit", "avatar", "preflight", "evaluate")
    described = ["run.json", "run.json", "config.yaml", "evaluate/metrics.json", "preflight/preflight.json"]
    damage_run(run, rng.choice(described + [f"{name}/stage.json" for name in stages]), rng)
    if rng.random() < 0.5:
        _seal(run)
    opened = rng.choice(
        (
            lambda: check_records(run, finished_stages(run)),
            lambda: check_complete(run),
            lambda: open_avatar(run),
            lambda: open_run(run, "s"),
            lambda: read_run_file(run),
            lambda: (inspect_run(run), recorded_config(run), repair_run(run), open_run(run, "s")),
            lambda: write_run_report(run),
            lambda: load_config(ReconstructionConfig, run / "config.yaml"),
        )
    )
    return _outcome(opened, case)


CASES = {"session": run_session_case, "records": run_record_case, "runs": run_run_case}


def fuzz_records(
    kind: str, cases: range, folder: Path, say: Callable[[str], None] = lambda text: None
) -> tuple[Counter[str], list[Finding]]:
    """Runs cases in forked children with `MEMORY` each: how they ended, and what was found."""
    template = folder / f"{kind}-template"
    if kind == "session":
        synthetic_session(template, cameras=2, frames=2)
    else:
        write_records(template)
    case: RunCase = functools.partial(CASES[kind], template, folder / f"{kind}-work")
    if kind == "session":
        return run_cases(case, cases, say, MEMORY)
    body = load_body()  # read once, not by every case
    with mock.patch.object(finished, "open_body", return_value=body):
        return run_cases(case, cases, say, MEMORY)


def _copy(template: Path, work: Path) -> Path:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(template, work / "copy")
    return work / "copy"


def _seal(run: Path) -> None:
    """As far as what is left can be."""
    try:
        seal(run)
    except Exception:  # noqa: BLE001 (stage.json is no description any more)
        return


def _outcome(read: Callable[[], object], case: int) -> Finding | str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read()
    except UserError as error:
        return type(error).__name__
    except Exception as error:  # noqa: BLE001 (what is looked for)
        return finding_of(case, error)
    return "read"


def _read_session(root: Path) -> None:
    session = load_session(root)
    session.fingerprint()
    for frame in session.frames[:2]:
        for camera in frame.sources:
            for read in (session.image, session.mask, session.depth):
                try:
                    read(frame.index, camera)
                except UserError:
                    continue


def main() -> int:
    """The command; see the module."""
    options, found = fuzzing_options(__doc__, list(CASES)), 0
    for kind in options.kinds:
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=options.folder) as name:
            work = functools.partial(fuzz_records, kind, options.cases, Path(name))
            found += tell_findings(f"{kind}: ", work)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
