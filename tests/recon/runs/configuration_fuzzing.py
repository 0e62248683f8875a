"""Damages configurations in every way that files go wrong or are made to, and holds the reader to its word.

    python -m tests.recon.runs.configuration_fuzzing --count 10000 [--only N]

Of every case the outcome must be a configuration that is written and read back to the same, with every number finite,
or a named error. Findings are any other exception, a warning, a crash, more than `LIMIT` seconds of
`tests.recon.importers.fuzzing`, and more than `MEMORY` of memory. Cases are numbered and seeded by number.
"""

from __future__ import annotations

import functools
import math
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.runs.configuration import config_keys, dump_config, format_config, load_config
from simulacra.render.runtime.errors import UserError
from simulacra.tools.commands.configurations import brought_configs
from simulacra.tools.design.config import DesignConfig
from simulacra.tools.virtual.config import VirtualCaptureConfig
from tests.recon.importers.fuzzing import (
    NUMBERS,
    WORDS,
    Finding,
    damaged_bytes,
    damaged_text,
    finding_of,
    fuzzing_options,
    run_cases,
    tell_findings,
)

# Bytes beyond those of the parent: the largest file that is read, 256 kB, comes to 60 MB of dictionaries.
MEMORY = 512 << 20
SCHEMAS: dict[str, type] = {"": ReconstructionConfig, "stage": VirtualCaptureConfig, "design": DesignConfig}
# What damage of calibrations does not know: anchors, aliases, tags, merges, keys that are not text, documents.
YAML = (
    "a: &a [*a, *a]", "&a {b: *a}", "x: &x {y: 1}\nz: *x", "*a", "<<: {a: 1}", "!!float abc", "!!int 0x",
    "!!timestamp x",
    "!!python/name:os.system ''", "!!binary =", "!!set {a}", "? {a: b}\n: c", "---\na: 1\n---\nb: 2", "null: 1", "1: 1",
    "[" * 50_000, "- " * 50_000, "{a: " * 50_000, "a: " + "9" * 5000, "a: 1e" + "9" * 5000, "a: " + "x" * 300_000,
    "".join(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 10}]\n" for i in range(1, 12)), "views: &v {frame_step: 2}\nfit: *v",
    "".join(f"k{i}: 0\n" for i in range(5000)), "a: 1\n" * 500, "\tviews: {}", "views: {}\r\n\0", "\ufeffviews: {}",
    "avatar: {kind: nobody}", "avatar: {kind: [1]}", "avatar: [1, 2]", "avatar: {kind: {}}",
    "depth: {kind: stereo, grain_px: 1}",
    "avatar: {kind: depth_splats, count: 3}", "evaluate: {references: [{metric: x, value: .nan, source: y}]}",
    "2020-01-01",
)  # fmt: skip


def seeds() -> list[tuple[type, str]]:
    """Every configuration that is brought, and every value of every schema, as texts."""
    brought = [
        (SCHEMAS.get(name.split("/")[0], ReconstructionConfig), path.read_text("utf-8"))
        for name, path in brought_configs().items()
    ]
    return brought + [(schema, format_config(schema())) for schema in SCHEMAS.values()]


def run_case(texts: list[tuple[type, str]], work: Path, case: int) -> Finding | str:
    """What is wrong, or in a word how it ended: `configuration`, or the error's name."""
    rng = random.Random(f"configuration:{case}")
    schema, text = rng.choice(texts)
    path = work / "fuzzed.yaml"
    path.write_bytes(_damage(text, rng) if rng.random() < 0.8 else text.encode())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _read(schema, path, _overrides(schema, rng) if rng.random() < 0.5 else {}, case)
    except UserError as error:
        return type(error).__name__
    except Exception as error:  # noqa: BLE001 (what is looked for)
        return finding_of(case, error)


def fuzz_configurations(
    cases: range, folder: Path, say: Callable[[str], None] = lambda text: None
) -> tuple[Counter[str], list[Finding]]:
    """Runs cases in forked children with `MEMORY` each: how they ended, and what was found."""
    return run_cases(functools.partial(run_case, seeds(), folder), cases, say, MEMORY)


def _read(schema: type, path: Path, overrides: dict[str, str], case: int) -> Finding | str:
    read = load_config(schema, path, overrides)
    if not all(map(math.isfinite, _numbers(dump_config(read)))):
        return Finding(case, "a number that is not finite", repr(read))
    path.write_text(format_config(read), "utf-8")
    if load_config(schema, path) != read:
        return Finding(case, "read back differently", repr(read))
    return "configuration"


def _numbers(tree: Any) -> Iterator[float]:
    if isinstance(tree, dict | list):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from _numbers(value)
    elif isinstance(tree, float):
        yield tree


def _damage(text: str, rng: random.Random) -> bytes:
    """One to three changes."""
    content = text.encode()
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.randrange(6)
        lines = content.decode("utf-8", "replace").split("\n")
        at = rng.randrange(len(lines) + 1)
        if kind == 0:
            content = damaged_bytes(content, rng) if content else content
        elif kind == 1:
            indent = " " * rng.choice((0, 0, 2, 4))
            content = "\n".join([*lines[:at], indent + rng.choice(YAML), *lines[at:]]).encode()
        elif kind == 2 and at < len(lines):
            name, colon, _ = lines[at].partition(":")
            lines[at] = f"{name}{colon} {rng.choice((*NUMBERS, *WORDS, *YAML))}"
            content = "\n".join(lines).encode("utf-8", "surrogatepass")
        else:
            content = damaged_text("\n".join(lines), rng, Path("/outside")).encode("utf-8", "surrogatepass")
    return content


def _overrides(schema: type, rng: random.Random) -> dict[str, str]:
    """Options of the command line: keys that there are, or nearly, with any values."""
    keys = [key for key, _ in config_keys(schema)]
    found = {}
    for _ in range(rng.choice((1, 1, 2))):
        key = rng.choice(keys)
        if rng.random() < 0.1:
            key = rng.choice((key[:-1], key.rpartition(".")[0], key + ".x", "", ".", "a." * 200, key.upper()))
        found[key] = rng.choice((*NUMBERS, *WORDS, *YAML, "3", "0.5", "[1, 2]", "{a: 1}", "a,b"))
    return found


def main() -> int:
    """The command; see the module."""
    options = fuzzing_options(__doc__)
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=options.folder) as name:
        if options.only is not None:
            print(run_case(seeds(), Path(name), options.only))
            return 0
        work = functools.partial(
            fuzz_configurations, options.cases, Path(name), lambda text: print(text, flush=True)
        )
        return 1 if tell_findings("", work) else 0


if __name__ == "__main__":
    sys.exit(main())
