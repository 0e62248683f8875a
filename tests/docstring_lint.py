"""Finds docstrings that people and programs misread: `python -m tests.docstring_lint FOLDER ...`, of `make lint`.

What is wanted of `Attributes:` and `Args:`, and of the prose around them:

    Args:
        name: one a line, and it is there; what follows may go on in the next line,
            which is indented by four more.

Prose is not indented in its middle, and not broken long before the end of its lines.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

SECTIONS = ("Attributes:", "Args:")
ENTRY = re.compile(r"\*{0,2}(\w+(?:, \*{0,2}\w+)*): \S")
LIST_ITEM = re.compile(r"([-*]|\d+[.)]|\(\w\)) ")
# A line of prose is broken early where the next word would have fitted and it is shorter than this part of the longest.
EARLY = 0.6

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def check_file(path: Path) -> Iterator[tuple[Path, int, str]]:
    """Path, line and what is wrong, of every docstring in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            first = node.body[0].lineno
            for line, fault in check_docstring(text, names_of(node)):
                yield path, first + line, fault


def names_of(node: Documented) -> set[str] | None:
    """What entries may be about: arguments of a function, fields of a class; None where that is not seen here."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        a = node.args
        every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        return {argument.arg for argument in every}
    if isinstance(node, ast.ClassDef) and not node.bases:
        fields = (item.target for item in node.body if isinstance(item, ast.AnnAssign))
        return {field.id for field in fields if isinstance(field, ast.Name)} | _assigned(node)
    return None


def _assigned(node: ast.ClassDef) -> set[str]:
    """Attributes that are properties, or given to `self`, and what the class is made with."""
    inside = list(ast.walk(node))
    given = {n.attr for n in inside if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    methods = [n for n in inside if isinstance(n, ast.FunctionDef)]
    made = {a.arg for n in methods if n.name == "__init__" for a in n.args.args}
    return given | made | {n.name for n in methods}


def check_docstring(text: str, names: set[str] | None) -> Iterator[tuple[int, str]]:
    """Faults and the lines of the docstring in which they are.

    Args:
        text: without the indentation of the code around it.
        names: of arguments or fields; None where they are not known.
    """
    lines = text.splitlines()
    ends = [at for at, line in enumerate(lines) if not line] + [len(lines)]
    for start, end in zip([0, *(at + 1 for at in ends)], ends, strict=False):
        inside = start < end and lines[start] in SECTIONS
        block = lines[start + inside : end]
        found = _check_entries(block, names) if inside else _check_prose(block)
        yield from ((start + inside + line, fault) for line, fault in found)


def _check_entries(lines: list[str], names: set[str] | None) -> Iterator[tuple[int, str]]:
    for at, line in enumerate(lines):
        words, depth = line.strip(), len(line) - len(line.lstrip())
        entry = ENTRY.match(words)
        own = [name.strip("*") for name in entry[1].split(", ")] if entry and depth == 4 else []
        if depth == 4 and not own:
            yield at, "a line that continues an entry is not indented by four more"
        if depth > 8 and not LIST_ITEM.match(words) and not lines[at - 1].rstrip().endswith(":"):
            yield at, "a line that continues an entry is indented by more than four"
        if len(own) > 1:
            yield at, f"several names in one entry: {', '.join(own)}"
        for unknown in set(own) - names if names is not None else ():
            yield at, f"an entry for {unknown}, which is not there"
        known = names or set()
        for other in re.findall(r"[.;?] (\w+(?:, \w+)*):(?: |$)", f". {words}" if depth > 4 else words):
            if known & set(other.split(", ")):
                yield at, f"an entry within an entry: {other}"


def _check_prose(lines: list[str]) -> Iterator[tuple[int, str]]:
    longest = max((len(line) for line in lines), default=0)
    flat = all(not line.startswith(" ") for line in lines)
    if any("   " in line.strip() for line in lines):
        return  # a table
    for at, (line, after) in enumerate(pairwise(lines)):
        ends = line.rstrip().endswith(":") or LIST_ITEM.match(line) is not None
        if not line.startswith(" ") and after.startswith(" ") and not ends:
            yield at + 1, "a line in the middle of a paragraph is indented"
        fitted = len(line) + 1 + len(after.split(" ")[0])
        if flat and at and fitted < EARLY * longest and not line.endswith((".", ":", ";")):
            yield at, "a paragraph is broken long before the end of its lines"


def main(folders: list[str]) -> int:
    """Prints what is found below the folders; 1 if that is anything."""
    chosen = [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]
    found = [f"{path}:{line}: {fault}" for path in chosen for path, line, fault in check_file(path)]
    print("\n".join([*found, f"{len(chosen)} files, {len(found)} docstrings to mend"]))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
