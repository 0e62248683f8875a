"""Damages tiny captures in every way that files go wrong or are made to, and holds the importers to their word.

    python -m tests.recon.importers.fuzzing IMPORTER|all --count 10000 [--only N] [--folder /dev/shm]

Of every case the outcome must be a session that loads and reads (of files that are no captures: a record without what
no number is), or a named error (`UserError`) that leaves nothing behind. Findings are: any other exception, a warning,
a crash, more than `LIMIT` seconds, more than `MEMORY` of memory, something left beside the session, a link in it, and
anything of a file outside of the capture in it.

Cases are numbered and seeded by importer and number, so that one can be looked at again. They run in forked children, a
batch each, because some of what is looked for ends a process.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from simulacra.render.runtime.errors import UserError
from tests.recon.importers.fuzz_seeds import SEEDS, Seed, written

BATCH = 100
LIMIT = 20.0
MEMORY = 2 << 30
SECRET = b"nobody's business " * 40
NUMBERS = (
    "nan", "-nan", "inf", "-inf", "1e308", "-1e308", "1e999", "-0", "0", "-1", "1e-320", "0.5", "2", "97", "65537",
    "1e9", "2147483648", "18446744073709551616", "9" * 400, "9" * 5000, "0x10", "1_000", "1.2.3", "", "true", "null",
    '"1"', "[1]", "１", "1e", ".", "--1",
)  # fmt: skip
WORDS = (
    "../../secret.png", "../secret.png", "/etc/passwd", "{outside}/secret.png", "..", ".", "", "a" * 300, "a" * 5000,
    "a\\u0000b", "\\ud800", "images/../images/0/0.png", "link.png", "~/x", "C:\\\\x", "con", "é ü 人", "a/b/c/d", "*",
    "%s%n", "-rf", "\u202e", "0", "1e5", "None", "images", "OPENCV", "FOV", "PINHOLE", "EUCM", "fisheye",
)  # fmt: skip
YAML_BOMB = b"a: &a [x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 8)) for i in range(20)
)
TEXTS = (
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"{}", b"[]", b"null", b"a", b"\n", b"%YAML:1.0\n---\n", b"<a/>",
    b"[" * 50000,
    b"{\"a\":" * 50000, b"<a>" * 50000, b"a: " * 5000, b"- " * 5000, b"a = " + b"[" * 50000, b"9" * 100000,
    b"[[a]]\n" * 3000,
    b'<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;&a;">]><x>&c;</x>',
    b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
    YAML_BOMB,
    "{\"a\": \"\ud83d\"}".encode("utf-16", "surrogatepass"),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What an importer did that it must not."""

    case: int
    what: str
    detail: str


RunCase = Callable[[int], Finding | str]


# -- damage ----------------------------------------------------------------------------------------


def damage(src: Path, seed: Seed, rng: random.Random) -> None:
    """One to three changes, mostly of the calibration."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        text = rng.random() < 0.7
        patterns = seed.calibration if text else seed.media
        files = sorted(path for pattern in patterns for path in src.glob(pattern) if path.is_file())
        if not files:
            continue
        path = rng.choice(files)
        if rng.random() < 0.08:
            _misplace(path, src, rng)
        elif not text:
            _rewrite(path, damaged_bytes(path.read_bytes(), rng))
        else:
            _rewrite(path, _damaged_calibration(path, rng, src.parent))


def _rewrite(path: Path, content: bytes) -> None:
    """A new file: the old one is linked to the undamaged capture."""
    path.unlink()
    path.write_bytes(content)


def _misplace(path: Path, src: Path, rng: random.Random) -> None:
    """Gone, elsewhere, or something other than a file."""
    outside = src.parent / "secret.png"
    kind = rng.randrange(9)
    content = path.read_bytes()
    path.unlink()
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        path.symlink_to(outside)
    elif kind == 2:
        path.symlink_to(path.name)
    elif kind == 3:
        os.mkfifo(path)
    elif kind == 4:
        path.with_name(f"x{path.name}").write_bytes(content)
    elif kind == 5:
        shutil.rmtree(path.parent) if path.parent != src else None
    elif kind == 6:
        others = sorted(other for other in src.rglob("*") if other.is_file() and not other.is_symlink())
        path.write_bytes(rng.choice(others).read_bytes() if others else b"")
    elif kind == 7:
        path.symlink_to(path.parent)


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    kind = rng.randrange(7)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data) + 1)])
    if kind == 1:
        return rng.choice(TEXTS)
    if kind == 2 and data:
        start = rng.randrange(len(data))
        data[start : start + rng.randrange(1, 64)] = bytes(rng.randrange(1, 64))
    elif kind == 3:
        at = rng.randrange(len(data) + 1)
        data[at:at] = rng.randbytes(rng.randrange(1, 40))
    elif kind == 4 and len(data) > 64:
        # The first bytes of pictures and videos are where sizes are.
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(64)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    elif data:
        for _ in range(rng.choice((1, 2, 8, 40))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _damaged_calibration(path: Path, rng: random.Random, outside: Path) -> bytes:
    content = path.read_bytes()
    if rng.random() < 0.2:
        return damaged_bytes(content, rng)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _damaged_binary(content, rng)
    if path.suffix == ".json" and rng.random() < 0.7:
        return _damaged_json(text, rng, outside)
    return damaged_text(text, rng, outside).encode("utf-8", "surrogatepass")


def _damaged_binary(content: bytes, rng: random.Random) -> bytes:
    """Numbers of eight and four bytes replaced by remarkable ones."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        values = (float("nan"), float("inf"), 1e308, -0.0, 1e-320, 0.0, -1.0)
        new = rng.choice(
            (
                struct.pack("<d", rng.choice(values)),
                struct.pack("<q", rng.choice((-1, 0, 1, 2**62, 2**31, 1000))),
                struct.pack("<i", rng.choice((-1, 0, 1, 17, 2**31 - 1))),
                b"../../secret.png\0",
                bytes(rng.randrange(1, 9)),
            )
        )
        at = rng.randrange(len(data) + 1)
        if rng.random() < 0.7:
            data[at : at + len(new)] = new
        else:
            data[at:at] = new
    return bytes(data)


def damaged_text(text: str, rng: random.Random, outside: Path) -> str:
    kind = rng.choice((0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8))
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    if kind == 1:
        return _nudged(text, rng)
    if kind == 0:
        return _replaced(r"-?\d+(\.\d*)?(e[+-]?\d+)?", lambda: rng.choice(NUMBERS), text, rng)
    if kind == 2:
        return _replaced(
            r"[A-Za-z][\w./]*", lambda: rng.choice(WORDS).replace("{outside}", str(outside)), text, rng
        )
    if kind == 3:
        return "\n".join(lines[:at] + lines[at + 1 :])
    if kind == 4:
        return "\n".join(lines[:at] + [lines[at]] * rng.choice((2, 2, 500)) + lines[at + 1 :])
    if kind == 5:
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
        return "\n".join(lines)
    if kind == 6:
        return _replaced(
            r"[\[\]{}()<>=:,\"'/ \t-]", lambda: rng.choice("[]{}<>=:,\"'&*!|>%@`\t\0 "), text, rng
        )
    if kind == 7:
        deep = rng.choice(("[", "{", "<a>", "- ", '{"a":', "[[")) * rng.choice((20, 2000, 100000))
        return _replaced(r"-?\d+(\.\d*)?", lambda: deep, text, rng)
    return _replaced(r"[A-Za-z0-9]", lambda: rng.choice("aZ09_-.\u00e9\0\x1f人"), text, rng)


def _nudged(text: str, rng: random.Random) -> str:
    """A number that is still one."""
    found = list(re.finditer(r"-?\d+\.?\d*", text))
    if not found:
        return text
    one = rng.choice(found)
    value = float(one.group()) * rng.choice((-1, 0.001, 0.5, 0.999, 1.001, 2, 10, 1e3, 1e9)) + rng.choice(
        (0, 0, 1, -1)
    )
    new = f"{value:.0f}" if "." not in one.group() else repr(value)
    return text[: one.start()] + new + text[one.end() :]


def _replaced(pattern: str, new: Callable[[], str], text: str, rng: random.Random) -> str:
    """One place of the pattern, or all of them, by something else."""
    found = list(re.finditer(pattern, text))
    if not found:
        return text
    one = rng.choice(found)
    if rng.random() < 0.1 and len(found) < 200:
        value = new()[:50]
        return re.sub(pattern, lambda _: value, text)
    return text[: one.start()] + new() + text[one.end() :]


def _damaged_json(text: str, rng: random.Random, outside: Path) -> bytes:
    """A value somewhere in the tree gone, of another type, or remarkable."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):  # an earlier change
        return text.encode()
    places: list[tuple[dict | list, str | int]] = []  # type: ignore[type-arg]

    def walk(node: object) -> None:
        keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            places.append((node, key))  # type: ignore[arg-type]
            walk(node[key])  # type: ignore[index]

    walk(tree)
    if not places:  # damaged before, down to nothing
        return text.encode()
    node, key = rng.choice(places)
    values = [
        None, True, [], {}, "", 0, -1, 1e308, float("nan"), float("inf"), -0.0, 10**400, "1", [[]], [1], {"a": 1},
        2**64, 0.5,
        *(word.replace("{outside}", str(outside)) for word in WORDS), "a\0b", "\ud800", "images/0/0000.png",
    ]  # fmt: skip
    if rng.random() < 0.2:
        del node[key]  # type: ignore[arg-type]
    elif rng.random() < 0.15 and isinstance(node, list):
        node.append(node[key])  # type: ignore[index,call-overload]
    else:
        node[key] = rng.choice(values)  # type: ignore[index,call-overload]
    return json.dumps(tree).encode()


# -- one case --------------------------------------------------------------------------------------


def run_case(seed: Seed, template: Path, work: Path, name: str, case: int) -> Finding | str:
    """What is wrong, or in a word how it ended: `session`, or the error's name."""
    shutil.rmtree(work, ignore_errors=True)
    src, out = work / "src", work / "out"
    shutil.copytree(template, src, copy_function=os.link)
    out.mkdir()
    _write_secret(work)
    damage(src, seed, random.Random(f"{name}:{case}"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ResourceWarning)
            seed.run(src, out / "session")
            ended = seed.read(out / "session")
    except UserError as error:
        ended = type(error).__name__
    except Exception as error:  # noqa: BLE001 (what is looked for)
        return finding_of(case, error)
    wrong = _left_behind(out, (out / "session").exists(), work)
    return Finding(case, wrong, str(sorted(p.name for p in out.iterdir()))) if wrong else ended


def _write_secret(work: Path) -> None:
    picture = np.frombuffer(SECRET[: 16 * 16 * 1], np.uint8).reshape(16, 16)
    cv2.imwrite(str(work / "secret.png"), cv2.resize(picture, (96, 96)))


def _left_behind(out: Path, made: bool, work: Path) -> str | None:
    names = {path.name for path in out.iterdir()}
    if names - ({"session"} if made else set()):
        return "something is left beside the session"
    secret = (work / "secret.png").read_bytes()
    inode = (work / "secret.png").stat().st_ino
    for path in (out / "session").rglob("*") if made else ():
        if path.is_symlink():
            return "a link is in the session"
        if path.is_file() and (path.stat().st_ino == inode or path.read_bytes() == secret):
            return "a file from outside of the capture is in the session"
    if {path.name for path in work.iterdir()} != {"src", "out", "secret.png"}:
        return "something is left beside the capture"
    return None


def finding_of(case: int, error: Exception) -> Finding:
    """An error that is none of a user's."""
    return Finding(case, _signature(error), "".join(traceback.format_exception(error)[-6:]))


def _signature(error: BaseException) -> str:
    """The kind of error and where in the project it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if re.search(r"/(recon|render)/", frame.filename)] or frames
    return f"{type(error).__name__} in {Path(ours[-1].filename).name}:{ours[-1].lineno} {ours[-1].name}"


# -- many cases ------------------------------------------------------------------------------------


def fuzz(
    name: str, cases: range, folder: Path, say: Callable[[str], None] = lambda text: None
) -> tuple[Counter[str], list[Finding]]:
    """Runs the cases of an importer in forked children: how they ended, and what was found."""
    seed, work = SEEDS[name], folder / f"work-{name}"
    template = written(seed, folder / f"template-{name}")
    clean = run_clean(seed, template, work)
    if clean not in ("session", "read"):
        raise AssertionError(f"the undamaged capture of {name} does not import: {clean}")
    try:
        return run_cases(functools.partial(run_case, seed, template, work, name), cases, say)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def run_cases(
    run: RunCase, cases: range, say: Callable[[str], None] = lambda text: None, memory: int | None = None
) -> tuple[Counter[str], list[Finding]]:
    """Runs numbered cases of anything in forked children: how they ended, and what was found.

    Args:
        run: how a case ended, in a word, or a finding.
        memory: bytes beyond those of the parent that a child may have; `MEMORY` by default.
    """
    ended: Counter[str] = Counter()
    findings: list[Finding] = []
    position = cases.start
    while position < cases.stop:
        batch = range(position, min(position + BATCH, cases.stop))
        position, result = _batch(run, batch, MEMORY if memory is None else memory)
        for one in result:
            if isinstance(one, Finding):
                findings.append(one)
                say(f"{one.case}: {one.what}")
            else:
                ended[one] += 1
    return ended, findings


def run_clean(seed: Seed, template: Path, work: Path) -> str:
    """How the undamaged capture ends: it has to be a session."""
    shutil.rmtree(work, ignore_errors=True)
    (work / "out").mkdir(parents=True)
    seed.run(template, work / "out/session")
    return seed.read(work / "out/session")


def _batch(run: RunCase, cases: range, memory: int) -> tuple[int, list[Finding | str]]:
    """The case after the last one that was done, and the outcomes."""
    read, write = os.pipe()
    # A decoder with threads that is freed in a child waits there for threads that only the parent has.
    gc.collect()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # OpenMP's threads stay with the parent: a child that waits for them hangs
        os.close(read)
        _child(run, cases, memory, write)
    os.close(write)
    done: list[Finding | str] = []
    buffered, ending = b"", "crash"
    while True:
        ready, _, _ = select.select([read], [], [], LIMIT)
        if not ready:
            ending = f"hang of more than {LIMIT:.0f} s"
            os.kill(child, signal.SIGKILL)
            break
        piece = os.read(read, 1 << 16)
        if not piece:
            break
        buffered += piece
        *whole, buffered = buffered.split(b"\n")
        for line in whole:
            case, what, detail = json.loads(line)
            done.append(what if detail is None else Finding(case, what, detail))
    os.close(read)
    _, status = os.waitpid(child, 0)
    if len(done) < len(cases):
        done.append(Finding(cases[len(done)], f"{ending} (status {status})", ""))
    return cases.start + len(done), done


def _child(run: RunCase, cases: range, memory: int, pipe: int) -> None:
    """Runs cases, tells each outcome as a line, and ends without returning."""
    status = 1
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        for case in cases:
            one = run(case)
            told = (case, one.what, one.detail) if isinstance(one, Finding) else (case, one, None)
            os.write(pipe, json.dumps(told).encode() + b"\n")
        status = 0
    finally:
        os._exit(status)


def fuzzing_options(about: str | None, kinds: Sequence[str] = ()) -> argparse.Namespace:
    """What the commands of all fuzzers understand: `kind` (where there are kinds), `cases`, `only`, `folder`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if kinds:
        parser.add_argument("kind", choices=[*kinds, "all"])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", type=int, help="one case, in this process, with its traceback")
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    options.cases = range(options.start, options.start + options.count)
    options.kinds = list(kinds) if kinds and options.kind == "all" else [getattr(options, "kind", "")]
    return options


def tell_findings(title: str, run: Callable[[], tuple[Counter[str], list[Finding]]]) -> int:
    """Runs cases, prints how they ended and what was found, and returns how much that is."""
    start = time.time()
    ended, findings = run()
    print(f"{title}{sum(ended.values())} cases, {time.time() - start:.0f} s: {dict(ended.most_common())}")
    for what, count in Counter(finding.what for finding in findings).most_common():
        first = next(finding for finding in findings if finding.what == what)
        print(f"  {count} x {what}; first: case {first.case}\n{first.detail}", flush=True)
    return len(findings)


def main() -> int:
    """The command; see the module."""
    options, found = fuzzing_options(__doc__, list(SEEDS)), 0
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=options.folder) as name:
        folder = Path(name)
        if options.only is not None:
            seed = SEEDS[options.kind]
            template = written(seed, folder / "template")
            print(run_case(seed, template, folder / "work", options.kind, options.only))
            return 0
        for kind in options.kinds:
            work = functools.partial(fuzz, kind, options.cases, folder, lambda text: print(text, flush=True))
            found += tell_findings(f"{kind}: ", work)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
