"""What the name of a joint says: the side of the person, and the parts that it may stand for.

A word may mean two things (a shoulder is a collar bone to some and an upper arm to others): it only speaks for a
reading of the hierarchy (`anatomy`), which decides.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

# Namespaces end with one of these.
_NAMESPACE = re.compile(r".*[:|]")
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+")
_SIDES = {
    "left": ("left", "l", "lt", "lft", "左"),
    "right": ("right", "r", "rt", "rgt", "右"),
}
# A word that most joints of a file begin with is the name of a person or of a program.
_MOST = 0.7

# Tried in this order on a name without its side, blanks and capitals; the first that is found speaks.
_PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"(?<!b)end|nub|effector|tip$", ("end",)),
    ("twist|roll", ("twist",)),
    (r"thumb|handt\d?$", ("thumb",)),
    (r"index|pointer|forefinger|handi\d?$", ("index",)),
    (r"middle|handmid|^mid|handm\d?$", ("middle",)),
    (r"ring(?!er)|handr\d?$", ("ring",)),
    (r"pinky|pinkie|little|handp\d?$", ("little",)),
    ("finger", ("finger",)),
    ("toe|ball", ("toes",)),
    ("ankle", ("foot",)),
    ("foot|feet", ("foot", "toes")),
    ("(low|lower|lo|fore)leg|shin|calf|tibia|knee", ("shin",)),
    ("(up|upper|top)leg|thigh|femur", ("thigh",)),
    ("hips|pelvis|hipcenter|^root|cog", ("pelvis",)),
    ("hipjoint|buttock|groin", ("other",)),
    ("hip", ("thigh", "pelvis")),
    ("leg", ("shin", "thigh")),
    ("forearm|(low|lower|lo|f)arm|elbow|radius|ulna", ("forearm",)),
    ("wrist|hand|palm", ("hand",)),
    ("collar|clav|scapula", ("clavicle",)),
    ("shldr|(up|upper|u)arm|humerus", ("upper_arm",)),
    ("shouldercenter", ("neck", "spine")),
    ("shoulder", ("clavicle", "upper_arm")),
    ("arm", ("upper_arm",)),
    ("neck", ("neck",)),
    ("head", ("head",)),
    ("spine|chest|abdomen|back|thorax|waist|torso|lumbar", ("spine",)),
)
_COMPILED = tuple((re.compile(pattern), parts) for pattern, parts in _PARTS)
FINGERS = ("thumb", "index", "middle", "ring", "little")


@dataclass(frozen=True)
class JointName:
    """A joint's name, read.

    Attributes:
        side: left, right, or none.
        text: the rest of its letters and digits, in small letters and without a namespace.
        parts: of the body that it may stand for; none for a word that is not known.
    """

    side: str
    text: str
    parts: tuple[str, ...]


def read_names(names: tuple[str, ...]) -> list[JointName]:
    """All names of a skeleton: what most of them begin with is no part of any."""
    words = [_WORD.findall(_NAMESPACE.sub("", name)) for name in names]
    while words:
        first = Counter(each[0].lower() for each in words if each)
        word, count = first.most_common(1)[0] if first else ("", 0)
        # The tool's or the person's name; of a skeleton of one side's joints that side is none.
        if count < _MOST * len(names) or len(names) < 3 or any(word in of for of in _SIDES.values()):
            break
        words = [each[1:] if each and each[0].lower() == word else each for each in words]
    return [_read(each) for each in words]


def _read(words: list[str]) -> JointName:
    side, rest = "", []
    for word in words:
        found, left = _side(word)
        if found and not side:
            side, word = found, left
        rest.append(word.lower())
    text = "".join(rest)
    # The fifth lumbar vertebra, L5, is on no side.
    return JointName("" if text.isdigit() else side, text, _parts(text))


def _side(word: str) -> tuple[str, str]:
    """The side that a word begins or ends with, and what is left of it."""
    small = word.lower()
    for side, marks in _SIDES.items():
        if small in marks:
            return side, ""
        if small.startswith(marks[0]):
            return side, small.removeprefix(marks[0])
        if small.endswith(marks[0]):
            return side, small.removesuffix(marks[0])
        if marks[-1] in word:
            return side, word.replace(marks[-1], "")
        # lfemur, LUArm: one letter before what has a meaning of its own, or before another capital.
        two = len(word) == 2 and word.isupper()
        if small[0] == marks[1] and (two or (_parts_begin(small[1:]) and not _parts_begin(small))):
            return side, small[1:]
    return "", word


def _parts(text: str) -> tuple[str, ...]:
    return next((parts for pattern, parts in _COMPILED if pattern.search(text)), ())


def _parts_begin(text: str) -> bool:
    return any(pattern.match(text) for pattern, _ in _COMPILED)
