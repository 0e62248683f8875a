"""Which joints of a skeleton are which parts of a person, told from its hierarchy, its lengths and its names.

A person's hierarchy is hips with two chains down and one up, at whose end are two more chains and a head: the two
longest pairs of chains of one length at one joint are legs and arms. In a leg, the thigh is as long as the shin; in an
arm, the upper arm as the forearm; what lies before is a hip or a collar bone, what lies beyond a foot or a hand. Names
of known words only weigh in, and say which side is left; where they do not, the toes say where the front is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations, pairwise

import numpy as np

from simulacra.recon.motion.hands import name_fingers
from simulacra.recon.motion.motion import Motion
from simulacra.recon.motion.names import FINGERS, JointName, read_names
from simulacra.render.runtime.errors import InputError

SIDES = ("left", "right")
_LEG = ("thigh", "shin", "foot")
_ARM = ("upper_arm", "forearm", "hand")
REQUIRED = ("pelvis", *(f"{side}_{part}" for side in SIDES for part in (*_LEG, *_ARM)))
PARTS = (
    *("pelvis", "spine", "neck", "head"),
    *(f"{side}_{part}" for side in SIDES for part in ("clavicle", *_ARM, *FINGERS, *_LEG, "toes")),
)
"""What a skeleton may have. Spine, neck, fingers and toes are lists of joints, from the trunk outwards."""
# Lengths along two chains of one person's two sides may differ by this part of them: a captured person is not even, and
# writers measure each side. Chains that names give to two sides need only be alike.
_EVEN, _ALIKE = 0.15, 0.6
# Both long bones of a limb are more than this part of it, from its first joint to the tips of its fingers or toes.
_LIMB = 0.5
# Toes before ankles and knees before the line from hip to ankle, of the length of a leg: less says nothing.
_CLEARLY_FORWARD = 0.08
# Joints of one limb, limbs of one joint, and pairs of limbs that are tried: no person has more.
_MOST = 24
_LOOKED_AT = 16  # frames, for lengths between joints that are not neighbours


@dataclass(frozen=True)
class Anatomy:
    """The parts of a person in a skeleton.

    Attributes:
        parts: joints, as indices from the trunk outwards, by part of `PARTS`; parts that it has not are left out.
        names: of the skeleton's joints, read.
    """

    parts: Mapping[str, tuple[int, ...]]
    names: tuple[JointName, ...]

    def joint(self, part: str) -> int:
        """The first joint of a part that the skeleton has."""
        return self.parts[part][0]

    def fingers(self) -> tuple[int, ...]:
        return tuple(j for side in SIDES for f in FINGERS for j in self.parts.get(f"{side}_{f}", ()))

    def top(self) -> tuple[int, ...]:
        """Whose middle is the upper end of the trunk: the first joint of the neck, the head, or both shoulders."""
        for part in ("neck", "head"):
            if part in self.parts:
                return self.parts[part][:1]
        return self.joint("left_upper_arm"), self.joint("right_upper_arm")


class _Tree:
    """A skeleton's hierarchy with the lengths of its bones."""

    def __init__(self, motion: Motion) -> None:
        rows = np.unique(np.linspace(0, len(motion) - 1, _LOOKED_AT).astype(int))
        self.places = motion.frames(rows).positions()
        self.parents = motion.parents.tolist()
        self.offsets = motion.offsets
        self.lengths = np.linalg.norm(motion.offsets, axis=1)
        self.lengths[0] = 0.0
        self.children: list[list[int]] = [[] for _ in self.parents]
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                self.children[parent].append(joint)
        sites = motion.end_sites()
        self.site = [joint in sites for joint in range(len(self.parents))]
        self.reach = np.zeros(len(self.parents))
        for joint in range(len(self.parents) - 1, 0, -1):
            parent = self.parents[joint]
            self.reach[parent] = max(self.reach[parent], self.lengths[joint] + self.reach[joint])

    def chain(self, joint: int) -> list[int]:
        """The longest way out from a joint, itself first."""
        way = [joint]
        while below := self.children[way[-1]]:
            way.append(max(below, key=lambda child: self.lengths[child] + self.reach[child]))
        return way

    def below(self, joint: int) -> Iterator[int]:
        """The joint and all that hang on it."""
        open_ = [joint]
        while open_:
            yield (joint := open_.pop())
            open_ += self.children[joint]

    def above(self, joint: int) -> list[int]:
        """The joint and all that it hangs on."""
        way = [joint]
        while self.parents[way[-1]] >= 0:
            way.append(self.parents[way[-1]])
        return way

    def length(self, chain: list[int]) -> float:
        """From the first joint of a chain to its last."""
        return float(self.lengths[chain[1:]].sum())


def find_anatomy(motion: Motion, given: Mapping[str, tuple[str, ...]] | None = None) -> Anatomy:
    """The parts of the person that a motion is of.

    Args:
        given: names of joints by part, for what is not to be looked for. An empty list: the skeleton has no such part.

    Raises:
        InputError: the hierarchy is not a person's, a part that a motion cannot do without is not found, or a given
            joint is not there.
    """
    tree, names = _Tree(motion), read_names(motion.names)
    try:
        parts = _find_parts(motion, tree, names)
    except InputError:
        if given is None:
            raise
        parts = {}  # what is not found is in the table, or is missed below
    if given is not None:
        parts |= {
            part: tuple(_index(motion, part, name) for name in joints) for part, joints in given.items()
        }
    parts = {part: joints for part, joints in parts.items() if joints}
    missing = [part for part in REQUIRED if part not in parts]
    if missing:
        raise InputError(
            "The motion's skeleton is not understood",
            expected="hips with two legs, a trunk with two arms",
            found=f"no {', '.join(missing[:6])} among {len(motion.names)} joints: {', '.join(motion.names[:8])}",
            remedy="name the joints in a file: --skeleton NAMES.toml (docs/body.md)",
        )
    return Anatomy(parts, tuple(names))


def _index(motion: Motion, part: str, name: str) -> int:
    """A joint by its name, with its namespace or without."""
    found = [i for i, each in enumerate(motion.names) if each == name]
    found = found or [i for i, each in enumerate(motion.names) if each.endswith((f":{name}", f"|{name}"))]
    if not found:
        raise InputError(
            "The names say a joint that the motion has not",
            where=part,
            expected=f"one of its {len(motion.names)}: {', '.join(motion.names[:8])} ...",
            found=name,
        )
    return found[0]


def _find_parts(motion: Motion, tree: _Tree, names: list[JointName]) -> dict[str, tuple[int, ...]]:
    pairs = _find_pairs(tree, names)
    if pairs is None:
        return {}
    legs, arms = pairs
    hips, chest = tree.parents[legs[0]], tree.parents[arms[0]]
    shared = set(tree.above(hips))
    trunk = [joint for joint in reversed(tree.above(chest)) if joint not in shared]
    necks = [joint for joint in trunk if "neck" in names[joint].parts and "spine" not in names[joint].parts]
    spine = trunk[: trunk.index(necks[0])] if necks else trunk
    neck, head = _find_head(tree, names, trunk or [chest], {*legs, *arms})
    parts = {
        "pelvis": (hips,),
        "spine": tuple(spine),
        "neck": (*trunk[len(spine) :], *neck),
        "head": (head,) if head is not None else (),
    }
    parts |= _read_legs(tree, names, legs) | _read_arms(tree, names, arms)
    return (
        parts
        if names[legs[0]].side and names[arms[0]].side
        else _sides_by_toes(motion, parts, names[legs[0]].side)
    )


def _find_pairs(tree: _Tree, names: list[JointName]) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The first joints of both legs, and of both arms, left before right."""
    found: list[tuple[float, tuple[int, int]]] = []
    for below in tree.children:
        longest = sorted(below, key=lambda joint: -float(tree.lengths[joint] + tree.reach[joint]))
        for a, b in combinations(sorted(longest[:_MOST]), 2):
            if _mirrored(tree, names, a, b):
                size = sum(float(tree.lengths[j] + tree.reach[j]) for j in (a, b))
                found.append((size, (b, a) if names[a].side == "right" else (a, b)))
    found.sort(reverse=True)
    for (_, first), (_, second) in combinations(found[:_MOST], 2):
        inside = {joint for pair in first for joint in tree.below(pair)}
        outside = {joint for pair in second for joint in tree.below(pair)}
        if inside.isdisjoint(outside):
            # What names do not say, the hierarchy does: the root is at the hips.
            first_is_legs = _leg_words(tree, names, first) - _leg_words(tree, names, second)
            if first_is_legs == 0:
                depth = [len(tree.above(pair[0])) for pair in (first, second)]
                first_is_legs = depth[1] - depth[0] or 1
            return (first, second) if first_is_legs > 0 else (second, first)
    return None


def _mirrored(tree: _Tree, names: list[JointName], a: int, b: int) -> bool:
    """Whether two joints begin limbs of two sides of a person."""
    ways = tree.chain(a), tree.chain(b)
    if min(map(len, ways)) < len(_LEG) or {names[a].side, names[b].side} not in ({*SIDES}, {""}):
        return False
    count = min(*map(len, ways), len(_LEG) + 1)
    one, other = (tree.lengths[way[1:count]] for way in ways)
    bound = _ALIKE if names[a].side else _EVEN
    return float(np.abs(one - other).sum()) <= bound * float(np.maximum(one, other).sum()) > 0


def _leg_words(tree: _Tree, names: list[JointName], pair: tuple[int, int]) -> int:
    """How many joints of two limbs are named as a leg's, less those that are named as an arm's."""
    said = [set(names[joint].parts) for start in pair for joint in tree.chain(start)]
    return sum(bool(parts & {*_LEG, "toes"}) - bool(parts & {*_ARM, "clavicle", *FINGERS}) for parts in said)


def _read_limbs(
    tree: _Tree, names: list[JointName], starts: tuple[int, int], wanted: tuple[str, str, str]
) -> list[tuple[list[int], tuple[int, ...]]]:
    """The chains of two limbs, and the places in each of three joints: of a leg, hip, knee and ankle."""
    chains = [tree.chain(start)[:_MOST] for start in starts]
    tries = [list(combinations(range(len(chain)), 3)) for chain in chains]
    if len(chains[0]) == len(chains[1]):
        best = max(tries[0], key=lambda at: sum(_score(tree, names, wanted, chain, at) for chain in chains))
        return [(chain, best) for chain in chains]
    return [
        (chain, max(each, key=partial(_score, tree, names, wanted, chain)))
        for chain, each in zip(chains, tries, strict=True)
    ]


def _score(
    tree: _Tree, names: list[JointName], wanted: tuple[str, str, str], chain: list[int], at: tuple[int, ...]
) -> float:
    """How well three joints of a chain read as a limb: by words, two long straight bones of one length, and fingers."""
    along = np.cumsum(tree.lengths[chain])
    score, bones = 0.0, []
    for a, b in pairwise(at):
        ends = tree.places[:, chain[b]] - tree.places[:, chain[a]]
        bones.append(float(np.median(np.linalg.norm(ends, axis=1))))
        way = float(along[b] - along[a])
        if way < 1e-3 * along[-1] or bones[-1] < 1e-3 * along[-1]:
            return -np.inf
        score -= 1 - min(bones[-1] / way, 1)
    for place, part in zip(at, wanted, strict=True):
        joint = chain[place]
        parts = names[joint].parts if not tree.site[joint] else ("end",)
        # Where ways part, without a word for it, fingers may.
        fans = 0.5 * min(max(len(tree.children[joint]) - 1, 0), 2) if part == "hand" else 0
        score += 1 if part in parts else -1 if parts else fans
    short = max(_LIMB - float((along[at[2]] - along[at[0]]) / along[-1]), 0)
    return score - abs(np.log(bones[0] / bones[1])) - 2 * short


def _read_legs(tree: _Tree, names: list[JointName], starts: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for side, (chain, at) in zip(SIDES, _read_limbs(tree, names, starts, _LEG), strict=True):
        found |= {f"{side}_{part}": (chain[place],) for part, place in zip(_LEG, at, strict=True)}
        beyond = [joint for joint in tree.children[chain[at[2]]] if not tree.site[joint]]
        beyond.sort(key=lambda joint: ("toes" not in names[joint].parts, joint not in chain))
        found[f"{side}_toes"] = tuple(joint for joint in beyond if "end" not in names[joint].parts)[:1]
    return found


def _read_arms(tree: _Tree, names: list[JointName], starts: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for side, (chain, at) in zip(SIDES, _read_limbs(tree, names, starts, _ARM), strict=True):
        found |= {f"{side}_{part}": (chain[place],) for part, place in zip(_ARM, at, strict=True)}
        # Of more bones of a shoulder, that which carries the arm: the others are helpers of no length.
        girdle = {joint: float(tree.lengths[after]) for joint, after in pairwise(chain[: at[0] + 1])}
        found[f"{side}_clavicle"] = (max(girdle, key=lambda joint: girdle[joint]),) if girdle else ()
        fingers = name_fingers(_finger_chains(tree, names, chain[at[2]]), names, tree.offsets)
        found |= {f"{side}_{finger}": joints for finger, joints in fingers.items()}
    return found


def _finger_chains(tree: _Tree, names: list[JointName], hand: int) -> list[list[int]]:
    """What goes out from a hand; of a palm with more than one finger, what goes out from it."""
    chains: list[list[int]] = []
    open_ = tree.children[hand][::-1]
    while open_:
        joint = open_.pop()
        if sum(not tree.site[child] for child in tree.children[joint]) > 1:
            open_ += tree.children[joint][::-1]
        elif not tree.site[joint]:
            chains.append(
                [each for each in tree.chain(joint) if not tree.site[each] and "end" not in names[each].parts]
            )
    return [chain for chain in chains if chain]


def _find_head(
    tree: _Tree, names: list[JointName], trunk: list[int], limbs: set[int]
) -> tuple[list[int], int | None]:
    """The joints of a neck, and the head: on what goes on from the upper end of the trunk and is no arm."""
    ways = [
        joint
        for top in reversed(trunk)
        for joint in tree.children[top]
        if joint not in limbs and joint not in trunk
    ]
    named = [way for way in ways if any({"neck", "head"} & {*names[j].parts} for j in tree.below(way))]
    ways = [way for way in named or ways if not tree.site[way] and (named or tree.parents[way] == trunk[-1])]
    if not ways:
        return [], None
    way = max(ways, key=lambda joint: float(tree.lengths[joint] + tree.reach[joint]))
    heads = [joint for joint in tree.below(way) if "head" in names[joint].parts]
    if heads:
        head = min(heads, key=lambda joint: len(tree.above(joint)))
        line = tree.above(head)
        return line[1 : line.index(way) + 1][::-1] if head != way else [], head
    line = [joint for joint in tree.chain(way) if not tree.site[joint] and "end" not in names[joint].parts]
    # Without a name the head is where a face branches off, or the last.
    face = next((i for i, joint in enumerate(line) if len(tree.children[joint]) > 1), len(line) - 1)
    return line[:face], line[face]


def _sides_by_toes(
    motion: Motion, parts: dict[str, tuple[int, ...]], named: str
) -> dict[str, tuple[int, ...]]:
    """The same parts, left and right exchanged where the toes say so: left is up by forward.

    Legs whose names say their sides stay; arms then go with the legs that they are above.
    """
    places = motion.positions()
    hips, shoulders = (
        places[:, parts[f"left_{part}"][0]] - places[:, parts[f"right_{part}"][0]]
        for part in ("thigh", "upper_arm")
    )
    swapped = dict(parts)
    if not named:
        top = [j for part in ("neck", "head", "spine") for j in parts[part][:1]][:1] or [
            *parts["left_upper_arm"]
        ]
        up = places[:, top[0]] - places[:, parts["pelvis"][0]]
        forward = np.zeros_like(up)
        for side in SIDES:
            # Toes, and of a knee that bends the point of it.
            hip, knee, ankle = (places[:, parts[f"{side}_{part}"][0]] for part in _LEG)
            toes = parts[f"{side}_toes"]
            forward += places[:, toes].mean(1) - ankle if toes else 2 * knee - hip - ankle
        legs = places[:, parts["left_foot"][0]] - places[:, parts["left_thigh"][0]]
        clear = np.abs(forward).sum() > len(SIDES) * _CLEARLY_FORWARD * np.abs(legs).sum()
        sense = float((np.cross(up, forward) * hips).sum()) if clear else 0.0
        if sense == 0:
            raise InputError(
                "The motion does not say which side of the person is left",
                expected="names with left and right, or feet with toes",
                found=", ".join(motion.names[:8]),
                remedy="name the joints in a file: --skeleton NAMES.toml (docs/body.md)",
            )
        if sense < 0:
            _exchange(swapped, parts, (*_LEG, "toes"))
            hips = -hips
    if float((hips * shoulders).sum()) < 0:
        _exchange(swapped, parts, ("clavicle", *_ARM, *FINGERS))
    return swapped


def _exchange(
    into: dict[str, tuple[int, ...]], parts: Mapping[str, tuple[int, ...]], which: tuple[str, ...]
) -> None:
    for part in which:
        left, right = (parts.get(f"{side}_{part}", ()) for side in SIDES)
        into |= {f"left_{part}": right, f"right_{part}": left}
