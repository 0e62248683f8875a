"""A user's own table of names, TOML: which joints of a skeleton are which parts of the person.

    name = "our studio's rig"

    [joints]
    pelvis = "Bone_001"
    spine = ["Bone_002", "Bone_003"]
    left_thigh = "Bone_010"
    left_toes = []          # has none, or they are not to be used

Parts that it leaves out are looked for as without a table.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from simulacra.recon.motion.anatomy import PARTS, REQUIRED
from simulacra.render.runtime.errors import InputError

MOST_BYTES = 1 << 20
_SEVERAL = ("spine", "neck", "thumb", "index", "middle", "ring", "little", "toes")


@dataclass(frozen=True)
class NamesTable:
    """Joints by part of a person.

    Attributes:
        name: of the table, for messages.
        parts: names of joints from the trunk outwards, by part.
    """

    name: str
    parts: Mapping[str, tuple[str, ...]]


def load_names(path: Path) -> NamesTable:
    """Read a table of names.

    Raises:
        InputError: missing, not TOML, a part that there is none of, or what is no name of a joint.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError("The names are no table", where=path, expected=f"<= {MOST_BYTES} bytes")
        read = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(
            "The names cannot be read", where=path, expected="a TOML file", found=error
        ) from error
    joints = read.get("joints")
    if not isinstance(joints, dict):
        raise InputError(
            "The names are no table", where=path, expected="[joints]", found=", ".join(read) or "nothing"
        )
    return NamesTable(
        name=str(read.get("name", path.name)),
        parts={part: _names(path, part, joints[part]) for part in joints},
    )


def _names(path: Path, part: str, value: object) -> tuple[str, ...]:
    if part not in PARTS:
        raise InputError(
            "The names say a part that there is none of", where=path, expected=", ".join(PARTS), found=part
        )
    names = value if isinstance(value, list) else [value]
    several = part in _SEVERAL or part.partition("_")[2] in _SEVERAL
    least = 1 if part in REQUIRED else 0
    if not all(isinstance(name, str) for name in names) or not least <= len(names) <= (99 if several else 1):
        expected = "names of joints, from the trunk outwards" if several else "the name of one joint"
        raise InputError("The names say no joint", where=f"{path}, {part}", expected=expected, found=value)
    return tuple(str(name) for name in names)
