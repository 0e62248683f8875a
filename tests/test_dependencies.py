"""What is installed is what the locks say, under licences that an Apache-2.0 program may stand on.

    python -m tests.test_dependencies SBOM.json

holds a list of components to the same licences; `make sbom` runs it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-torch.lock", "requirements-torch-cpu.lock")
# Terms that ask for no more than their text beside a copy; and MPL-2.0, whose terms stay with its own files.
FITTING = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib",
}  # fmt: skip
# What packages without an SPDX expression say instead, by what it means.
SPOKEN = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
}
# Packages whose metadata name no licence, by the words of the licence file that comes with them.
UNNAMED = {
    "openexr": ("BSD-3-Clause", "Redistribution and use in source and binary forms", "Neither the name"),
    "ezc3d": ("MIT", "MIT License", "without restriction, including"),
}
# NVIDIA's own terms, which come with the index's build of PyTorch for Linux: read and taken by who installs that.
PROPRIETARY = re.compile(r"^(nvidia-|cuda-)")


def locked(name: str) -> dict[str, str]:
    """Package and version of every entry of a lock; each has to have a hash.

    Raises:
        ValueError: one has none.
    """
    found = {}
    for entry in re.split(r"\n(?=[A-Za-z])", (REPOSITORY / name).read_text()):
        if entry.startswith("#"):
            continue
        package, version = re.match(r"([\w.-]+)={2,3}([\w.+]+)", entry).groups()  # type: ignore[union-attr]
        if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry):
            raise ValueError(f"{package} has no hash")
        found[package] = version
    return found


def terms(expression: str) -> list[str]:
    """The licences of an expression all of which must fit; of a choice (OR) the first that does, or all."""
    alternatives = [part.strip() for part in re.split(r"\bOR\b", expression.strip("() "))]
    fitting = [part for part in alternatives if part in FITTING]
    wanted = fitting[:1] if len(alternatives) > 1 and fitting else alternatives
    return [one.strip("() ") for part in wanted for one in re.split(r"\bAND\b", part)]


def licences(package: str) -> list[str]:
    """What an installed package says that it is under, as SPDX names where it can be told."""
    about = metadata.metadata(package)
    said = about.get("License-Expression")
    classified = [c.split("::")[-1].strip() for c in about.get_all("Classifier") or () if "License ::" in c]
    if said is None and classified:
        return [SPOKEN.get(name, name) for name in classified]
    if said is None and package in UNNAMED:
        name, *words = UNNAMED[package]
        files = [path for path in metadata.files(package) or () if "licenses" in path.parts]
        text = " ".join(str(path.read_text()) for path in files)
        return [name] if all(each in text for each in words) else []
    said = said or (about.get("License") or "").splitlines()[0]
    return [SPOKEN.get(name, name) for name in terms(said)]


def unfit(component: dict[str, Any]) -> Iterator[str]:
    """Licences of an SBOM's component that are not known to fit."""
    entries = component.get("licenses")
    if not entries:  # the tool leaves out what it cannot translate
        yield from (name for name in licences(str(component["name"])) if name not in FITTING)
    for entry in entries or ():
        one = entry.get("license") or {}
        said = entry.get("expression") or one.get("id") or one.get("name") or "none"
        classifier = said.split("::")[-1].strip()
        yield from (name for name in terms(SPOKEN.get(classifier, said)) if name not in FITTING)


def test_every_entry_of_every_lock_has_a_hash() -> None:
    counts = [len(locked(name)) for name in LOCKS]
    assert counts[0] > 50 and counts[1] > 5 and counts[2] == 1


def test_locks_and_constraints_say_the_same() -> None:
    def plain(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    constrained = dict(line.split("==") for line in lines if "==" in line)
    both = locked("requirements.lock") | locked("requirements-torch.lock")
    assert {plain(name): version for name, version in constrained.items()}.items() <= both.items()
    build = locked("requirements-torch-cpu.lock")["torch"]
    assert build == f"{both['torch']}+cpu"


def test_no_lock_names_a_place() -> None:
    assert all("://" not in (REPOSITORY / name).read_text() for name in LOCKS)


@pytest.mark.parametrize("package", sorted({*locked(LOCKS[0]), *locked(LOCKS[1])}))
def test_licences_fit(package: str) -> None:
    if PROPRIETARY.match(package):
        return
    try:
        found = licences(package)
    except metadata.PackageNotFoundError:
        return  # of another platform, or of the index's build of PyTorch
    assert found and set(found) <= FITTING, f"{package} is under {found}"


def test_licences_that_do_not_fit_are_seen() -> None:
    assert terms("GPL-3.0-or-later OR MIT") == ["MIT"]
    assert not set(terms("MIT AND GPL-3.0-or-later")) <= FITTING
    gpl = {"license": {"name": "License :: OSI Approved :: GNU General Public License v3 or later (GPLv3+)"}}
    assert len(list(unfit({"name": "x", "licenses": [gpl]}))) == 1
    assert list(unfit({"name": "x", "licenses": [{"expression": "MIT"}]})) == []


def main(path: Path) -> int:
    """See the module."""
    components = json.loads(path.read_text())["components"]
    wrong = {c["name"]: list(unfit(c)) for c in components if not PROPRIETARY.match(c["name"])}
    for name, found in wrong.items():
        if found:
            print(f"{name}: {', '.join(found)} is not known to fit", file=sys.stderr)
    print(f"{path}: {len(components)} components")
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
