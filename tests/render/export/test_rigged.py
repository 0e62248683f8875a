"""The .avatar file: what is read and posed is what was written, and damage is told, not met."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simulacra.render.avatar import drive
from simulacra.render.body import BodyModel, BodyPose
from simulacra.render.camera import look_at
from simulacra.render.export import rigged_reader
from simulacra.render.export.rigged import RiggedAvatar, Stored, pack_arrays, pack_rigged, write_rigged
from simulacra.render.export.rigged_reader import AvatarFileError, parse_avatar, read_avatar
from simulacra.render.gaussians import Gaussians, rasterize_gaussians
from tests.render.export.golden import make_golden
from tests.render.test_avatar import gesture, planted

GOLDEN = Path(__file__).parent / "golden" / "rigged_v1.avatar"
READER = Path(rigged_reader.__file__)
SIZE = 256


def test_the_golden_file_of_version_1_is_read_as_ever() -> None:
    avatar = read_avatar(GOLDEN)
    assert avatar.header["bones"] == ["root", "upper"] and avatar.header["rendering"]["eps2d"] == 0.1
    rest = avatar.pose()
    assert np.allclose(rest["means"], [[0, 0, -1], [0, 0.1, -1], [0.1, 0.1, -1], [0, 0.3, 0]], atol=1e-6)
    assert np.allclose(rest["opacities"], [1, 1, 0.2, 0]) and np.allclose(rest["scales"], np.exp(-4))
    assert np.allclose(rest["sh"][1, 0], [0.3, 0.9, 1.5], atol=1e-6)
    moved = avatar.pose(**avatar.frame(1))
    # The root is carried 1 m to the left; the upper bone turns x to y about (0, 0.1); the third was lifted by half
    # a metre before; the fourth hangs half on each.
    expected = [[1, 0, -1], [1, 0.1, -1], [0.5, 0.2, -1], [0.9, 0.2, 0]]
    assert np.allclose(moved["means"], expected, atol=1e-6)
    half = np.sqrt(0.5)
    assert np.allclose(np.abs(moved["quats"][1]), [half, 0, 0, half], atol=1e-6)
    assert np.allclose(np.abs(moved["quats"][3]), [np.cos(np.pi / 8), 0, 0, np.sin(np.pi / 8)], atol=1e-6)


def test_the_writer_still_writes_the_golden_file() -> None:
    now, then = parse_avatar(pack_arrays(make_golden.header(), make_golden.arrays())), read_avatar(GOLDEN)
    assert now.header == then.header
    assert now.arrays.keys() == then.arrays.keys()
    assert all(np.array_equal(now.arrays[name], then.arrays[name]) for name in then.arrays)


@pytest.mark.parametrize("codec", ["raw", "deflate", "shuffle+deflate"])
def test_codecs_hold_the_same(codec: str) -> None:
    packed = parse_avatar(pack_arrays(make_golden.header(), make_golden.arrays(), codec))
    then = read_avatar(GOLDEN)
    assert all(np.array_equal(packed.arrays[name], then.arrays[name]) for name in then.arrays)


def test_the_reader_is_one_short_file_that_needs_numpy_alone(tmp_path: Path) -> None:
    assert len(READER.read_text().splitlines()) < 300
    shutil.copy(READER, tmp_path / "reader.py")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import reader; "
        f"print(len(reader.read_avatar({str(GOLDEN)!r}).pose()['means'])); "
        "print([name for name in ('simulacra', 'torch', 'scipy', 'jaxtyping') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.split("\n")[:2] == ["4", "[]"]


def sample(body: BodyModel) -> tuple[RiggedAvatar, BodyPose]:
    """A person in random colors, who brings a motion of two frames, the second a gesture with a pulled face."""
    avatar, rig = planted(body, standoff=0.01)
    generator = torch.Generator().manual_seed(3)
    rest = avatar.gaussians.replace(
        log_scales=torch.randn(len(avatar), 3, generator=generator) * 0.5 - 4.0,
        logit_opacities=torch.randn(len(avatar), generator=generator) * 2 + 1,
        sh=torch.randn(len(avatar), 4, 3, generator=generator) * 0.4,
    )
    pose, zero = gesture(body), body.zero_pose()
    both = (
        torch.cat([getattr(zero, n), getattr(pose, n)]) for n in ("rotations", "translation", "expression")
    )
    return RiggedAvatar(avatar.replace(gaussians=rest), rig, zero, BodyPose(*both), 24.0), pose


def test_what_the_reader_poses_is_what_we_drive(body: BodyModel, tmp_path: Path) -> None:
    content, pose = sample(body)
    size = write_rigged(tmp_path / "person.avatar", content)
    avatar = read_avatar(tmp_path / "person.avatar")
    assert size == (tmp_path / "person.avatar").stat().st_size
    assert avatar.header["bones"] == list(body.bone_names) and avatar.header["fps"] == 24.0
    assert np.array_equal(avatar.arrays["binding.faces"], content.avatar.binding.faces.numpy())
    ours, theirs = drive(content.avatar, content.rig, pose), avatar.pose(**avatar.frame(1))
    # 16 bits over 2 m are steps of 0.03 mm, and eight influences of ten move a few Gaussians by millimetres.
    away = np.linalg.norm(theirs["means"] - ours.means.numpy(), axis=1)
    assert np.median(away) < 5e-5 and away.max() < 0.02
    read = Gaussians(
        torch.from_numpy(theirs["means"]),
        torch.from_numpy(theirs["quats"]),
        torch.from_numpy(theirs["scales"]).log(),
        torch.from_numpy(theirs["opacities"]).logit(eps=1e-7),
        torch.from_numpy(theirs["sh"]),
    )
    middle = ours.means.mean(0, keepdim=True)
    view = look_at(middle + torch.tensor([[0.5, 0.3, 3.0]]), middle, 1.2 * SIZE, SIZE, SIZE)
    drawn = [rasterize_gaussians(g, view, eps2d=0.1).rgb_premul for g in (ours, read)]
    assert -10 * torch.log10((drawn[0] - drawn[1]).square().mean()) >= 55.0
    neutral = avatar.pose()["means"]
    assert np.abs(neutral - drive(content.avatar, content.rig, content.neutral).means.numpy()).max() < 0.005


def test_a_file_without_faces_motion_and_actions_is_whole(body: BodyModel) -> None:
    content, _ = sample(body)
    packed = pack_rigged(RiggedAvatar(content.avatar, content.rig, content.neutral), binding=False)
    avatar = parse_avatar(packed)
    assert "binding.faces" not in avatar.arrays and not len(avatar.arrays["motion.translation"])
    few = {n: a for n, a in make_golden.arrays().items() if n.split(".")[0] in ("gaussians", "skin", "rig")}
    least = parse_avatar(pack_arrays({"format": "avatar", "bones": ["root", "upper"]}, few))
    assert least.header["rendering"] == {"eps2d": 0.3, "mode": "classic"}
    assert least.pose()["means"].shape == (4, 3)


def test_what_a_reader_does_not_know_is_passed_over_unless_it_is_required() -> None:
    more = make_golden.arrays() | {"x.own": Stored(np.zeros(3, "|u1"))}
    packed = pack_arrays(make_golden.header() | {"x": {"own": 1}}, more)
    assert "x.own" not in parse_avatar(packed).arrays
    with pytest.raises(AvatarFileError, match=r"needs extensions .* \['x\.own'\]"):
        parse_avatar(pack_arrays(make_golden.header() | {"required": ["x.own"]}, more))


def test_every_byte_is_checked() -> None:
    """A byte that is changed anywhere is told of, but for the zeros between arrays, which say nothing."""
    whole = GOLDEN.read_bytes()
    passed = []
    for at in range(0, len(whole), 2):  # all others were tried when it was written
        damaged = bytearray(whole)
        damaged[at] ^= 0x41
        try:
            parse_avatar(bytes(damaged))
        except AvatarFileError:
            continue
        passed.append(at)
    assert all(whole[at] == 0 for at in passed) and len(passed) <= 8 * len(make_golden.arrays())
    for end in range(0, len(whole), 31):
        with pytest.raises(AvatarFileError):
            parse_avatar(whole[:end])


def repack(content: bytes, header: dict[str, Any], data: bytes | None = None) -> bytes:
    """The file with another header, whose CRC is right."""
    _, version, length, _, zero = rigged_reader.START.unpack_from(content)
    text = json.dumps(header).encode()
    kept = content[24 + length + -length % 8 :] if data is None else data
    start = rigged_reader.START.pack(rigged_reader.MAGIC, version, len(text), zlib.crc32(text), zero)
    return start + text + bytes(-len(text) % 8) + kept


def header_of(content: bytes) -> dict[str, Any]:
    length = rigged_reader.START.unpack_from(content)[2]
    header: dict[str, Any] = json.loads(content[24 : 24 + length])
    return header


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a shape that does not fit": ({"gaussians.opacities": {"shape": [2, 2]}}, "shape"),
    "an array that is beyond the end": ({"gaussians.quats": {"offset": 10**9}}, "outside"),
    "a bomb": ({"gaussians.means": {"shape": [10**8, 3]}}, "cannot be inflated"),
    "an endless array": ({"gaussians.means": {"shape": [2**31 - 1, 2**31 - 1, 3]}}, "bytes"),
    "an unknown codec": ({"gaussians.sh": {"codec": "webp"}}, "lacks codec 'webp'"),
    "an unknown type": ({"gaussians.sh": {"dtype": "f64"}}, "no type"),
    "a scale that is not finite": ({"gaussians.quats": {"scale": float("nan")}}, "scale"),
    "quaternions of no length": ({"gaussians.quats": {"scale": 0}}, "length 1"),
    "weights of another sum": ({"skin.weights": {"scale": 0.3}}, "sum to 1"),
    "enormous numbers": ({"gaussians.means": {"zero": 1e20}}, "zero"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case: str) -> None:
    changes, said = WRONG[case]
    content = GOLDEN.read_bytes()
    header = header_of(content)
    for name, fields in changes.items():
        header["arrays"][name] |= fields
    with pytest.raises(AvatarFileError, match=said):
        parse_avatar(repack(content, header))


def test_values_that_lead_nowhere_are_refused() -> None:
    for name, values, said in (
        ("skin.bones", np.full((4, 2), 2, "|u1"), "from 0 to 1"),
        ("rig.parents", np.array([1, -1], "<i2"), "before its parent"),
        ("actions.gaussians", np.array([4], "<u4"), "from 0 to 3"),
        ("actions.starts", np.array([0, 2], "<u4"), "rise from 0 to 1"),
        ("rig.bind", np.zeros((2, 3, 4), "<f4"), "no rotation"),
        ("gaussians.log_scales", np.full((4, 3), np.nan, "<f4"), "finite"),
        ("gaussians.opacities", np.full(4, 1.5, "<f4"), "from 0 to 1"),
    ):
        with pytest.raises(AvatarFileError, match=said):
            parse_avatar(pack_arrays(make_golden.header(), make_golden.arrays() | {name: Stored(values)}))


JUNK = [
    None,
    True,
    -1,
    0,
    1,
    7,
    2**31,
    2**63,
    10**400,
    0.5,
    1e300,
    float("nan"),
    "",
    "raw",
    "f32",
    [],
    [4],
    [2, 3],
    {},
]


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """The file with something changed: bytes anywhere, or something in the header under a right CRC."""
    if chance.random() < 0.3:
        content = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        return bytes(content[: chance.randrange(len(content))] if chance.random() < 0.3 else content)
    header = header_of(whole)
    for _ in range(chance.randint(1, 3)):
        place = header if chance.random() < 0.2 else header["arrays"]
        if isinstance(place, dict) and place and place is header.get("arrays") and chance.random() < 0.9:
            entry = place[chance.choice(list(place))]
            place = entry if isinstance(entry, dict) and entry else place
        if not isinstance(place, dict) or not place:
            continue
        key = chance.choice(list(place))
        if chance.random() < 0.2:
            del place[key]
        else:
            place[key] = chance.choice([*JUNK, place.get(chance.choice(list(place)))])
        if not isinstance(header.get("arrays"), dict):
            break
    return repack(whole, header)


def fuzz(count: int, seed: int = 0) -> dict[str, int]:
    """How many damaged files were refused and read; anything else is raised."""
    whole, chance, told = GOLDEN.read_bytes(), random.Random(seed), {"refused": 0, "read": 0, "long": 0}
    for _ in range(count):
        content = damaged(whole, chance)
        try:
            parse_avatar(content).pose()
            told["read"] += 1
        except AvatarFileError as error:
            told["long"] += len(str(error)) > 400
            told["refused"] += 1
    return told


def test_damaged_files_are_refused_and_nothing_else_happens() -> None:
    told = fuzz(500)  # 10,000 of another seed were tried when it was written
    assert told["refused"] > 400 and told["read"] > 3 and not told["long"]
