"""Compressed .avatar files: what is read is what was written, to the steps; prefixes are people; damage is told."""

from __future__ import annotations

import json
import math
import random
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.render.avatar import drive, rig_body, surface_points
from simulacra.render.body import BodyModel
from simulacra.render.camera import look_at
from simulacra.render.export.codec.profiles import PROFILES, scaled_steps
from simulacra.render.export.compressed import (
    EXTENSION,
    is_compressed,
    pack_compressed,
    read_compressed,
    write_compressed,
)
from simulacra.render.export.rigged import RiggedAvatar, pack_rigged
from simulacra.render.export.rigged_reader import START, AvatarFileError, parse_avatar, split
from simulacra.render.gaussians import Gaussians, rasterize_gaussians
from simulacra.render.rotation import quat_normalize
from simulacra.tools.commands.validate import validate
from tests.render.export.golden import make_golden_compressed
from tests.render.test_avatar import gesture, planted

GOLDEN = Path(__file__).parent / "golden" / "compressed_v1.avatar"
SIZE = 192


@pytest.fixture(scope="module")
def content(body: BodyModel) -> RiggedAvatar:
    """A person whose Gaussians lie flat up to 5 mm off the skin, in colors that change slowly."""
    avatar, rig = planted(body, standoff=0.005)
    points = surface_points(body, rig.rest.verts, avatar.binding)
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(len(avatar), 3, generator=generator)
    rest = avatar.gaussians.replace(
        log_scales=torch.tensor([-4.2, -4.6, -6.0]) + 0.2 * noise,
        logit_opacities=3 + noise[:, 0],
        sh=torch.cat([torch.sin(4 * points)[:, None], 0.05 * noise[:, None].expand(-1, 3, 3)], 1),
        quats=quat_normalize(torch.randn(len(avatar), 4, generator=generator)),
    )
    return RiggedAvatar(avatar.replace(gaussians=rest), rig, body.zero_pose(), gesture(body), 24.0)


@pytest.fixture(scope="module")
def packed(content: RiggedAvatar) -> bytes:
    return pack_compressed(content, PROFILES["medium"])


def ordered(gaussians: Gaussians) -> torch.Tensor:
    """Which Gaussian is which: by height, the planted ones are some micrometres apart."""
    return torch.argsort(gaussians.means[:, 1])


def picture(content: RiggedAvatar, found: object, pose: object) -> tuple[torch.Tensor, torch.Tensor]:
    """The person and the compressed one, in a pose."""
    body, drawn = content.rig.body, []
    for avatar in (content.avatar, found.avatar()):  # type: ignore[attr-defined]
        rig = rig_body(body, avatar.shape, avatar.binding)
        posed = drive(avatar, rig, pose)  # type: ignore[arg-type]
        middle = posed.means.mean(0, keepdim=True)
        if not drawn:
            view = look_at(middle + torch.tensor([[0.5, 0.3, 3.0]]), middle, 1.2 * SIZE, SIZE, SIZE)
        drawn.append(rasterize_gaussians(posed, view, eps2d=0.1).rgb_premul)
    return drawn[0], drawn[1]


def decibels(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


def test_what_is_read_looks_as_it_did_in_another_pose(content: RiggedAvatar, packed: bytes) -> None:
    found = read_compressed(packed)
    assert len(found.gaussians) == found.whole == len(content.avatar)
    assert torch.equal(found.binding.faces.sort()[0], content.avatar.binding.faces.sort()[0])
    assert torch.equal(found.shape.phenotypes, content.avatar.shape.phenotypes)
    pose = gesture(content.rig.body)
    medium = decibels(*picture(content, found, pose))
    coarse = read_compressed(pack_compressed(content, scaled_steps(6.0, None)))
    assert medium > 52 > decibels(*picture(content, coarse, pose)) + 6
    finest = read_compressed(pack_compressed(content, scaled_steps(1 / 64, 1 / 1024)))
    own, back = content.avatar.gaussians, finest.gaussians
    first, second = ordered(own), ordered(back)
    assert float((own.means[first] - back.means[second]).norm(dim=1).median()) < 1e-5
    assert decibels(*picture(content, finest, pose)) > medium + 12


def test_a_file_with_its_body_is_posed_without_one(content: RiggedAvatar, packed: bytes) -> None:
    """As the uncompressed file is: skin and face are those of the body, to the 12 bits that they are stored in."""
    avatar, plain = read_compressed(packed).as_file(), parse_avatar(pack_rigged(content))
    pose = gesture(content.rig.body)
    rows = (pose.rotations[0].numpy(), pose.translation[0].numpy(), pose.expression[0].numpy())
    ours, theirs = avatar.pose(*rows)["means"], plain.pose(*rows)["means"]
    assert ours.shape == theirs.shape
    away = np.sort(ours[:, 1]) - np.sort(theirs[:, 1])
    assert np.median(np.abs(away)) < 2e-4 and np.abs(away).max() < 0.02
    assert avatar.header["bones"] == plain.header["bones"] and avatar.header["fps"] == 24.0
    assert EXTENSION not in avatar.header and len(avatar.arrays["motion.translation"]) == 1
    # A facial action does what it did, but for moves of less than half a step.
    all_moves = [float(np.abs(file.arrays["actions.offsets"]).sum()) for file in (avatar, plain)]
    assert abs(all_moves[0] / all_moves[1] - 1) < 0.05


def test_a_named_body_is_the_readers_own_or_is_refused(content: RiggedAvatar, packed: bytes) -> None:
    named = pack_compressed(content, PROFILES["medium"], whole_body=False)
    assert len(named) < len(packed) - 100_000
    found, whole = read_compressed(named, content.rig.body), read_compressed(packed)
    assert torch.equal(found.gaussians.means, whole.gaussians.means)
    assert torch.equal(found.binding.barycentrics, whole.binding.barycentrics)
    with pytest.raises(AvatarFileError, match="no body is given"):
        read_compressed(named)
    with pytest.raises(AvatarFileError, match="does not hold its body"):
        found.as_file()
    body = content.rig.body
    other = replace(body, shapes=replace(body.shapes, template=body.shapes.template * 1.01))
    with pytest.raises(AvatarFileError, match="another than the writer's"):
        read_compressed(named, other)


def test_a_prefix_is_a_coarser_person(content: RiggedAvatar, packed: bytes) -> None:
    """Each level is twice as many Gaussians, spread over the whole body, and nearer to the picture."""
    pose = content.rig.body.zero_pose()
    header, data = split(packed, frozenset({EXTENSION}))
    counts, quality = [], []
    for level in range(7):
        entry = header["arrays"][f"codecs.surface.level.{level}"]
        begun = packed[: len(packed) - len(data) + entry["offset"] + entry["bytes"]]
        found = read_compressed(begun)
        assert found.whole == len(content.avatar)
        counts.append(len(found.gaussians))
        quality.append(decibels(*picture(content, found, pose)))
        same = read_compressed(packed, levels=level + 1)
        assert torch.equal(same.gaussians.means, found.gaussians.means)
    assert counts == [math.ceil(len(content.avatar) / 2 ** (6 - level)) for level in range(7)]
    assert quality == sorted(quality) and quality[4] > quality[0] + 3
    with pytest.raises(AvatarFileError):
        read_compressed(packed[: len(packed) // 10])


def test_the_plain_reader_says_what_it_lacks(packed: bytes) -> None:
    with pytest.raises(AvatarFileError, match=r"lacks: \['codecs.surface'\]"):
        parse_avatar(packed)
    assert is_compressed(packed)


def test_the_golden_file_is_read_as_ever() -> None:
    """Bit for bit: whole numbers alone decide what a chunk says."""
    content = GOLDEN.read_bytes()
    found = read_compressed(content)
    assert np.array_equal(found.binding.faces.numpy(), make_golden_compressed.FACES_READ)
    wanted = make_golden_compressed.gaussians()
    features = [torch.cat([100 * g.means, g.sh[:, 0]], 1).double() for g in (found.gaussians, wanted)]
    near = torch.cdist(*features).argmin(1)
    assert sorted(near.tolist()) == list(range(len(wanted)))
    assert float((found.gaussians.means - wanted.means[near]).abs().max()) < 5e-4
    assert float((found.gaussians.log_scales.sort()[0] - wanted.log_scales[near].sort()[0]).abs().max()) < 0.2
    assert make_golden_compressed.packed() == content


def test_it_is_written_whole_and_validated(
    content: RiggedAvatar, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "person.avatar"
    size = write_compressed(path, content, PROFILES["small"])
    assert size == path.stat().st_size
    validate(path)
    assert "sound; 3000 Gaussians, compressed" in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[: size // 2])
    from simulacra.render.runtime.errors import InputError

    with pytest.raises(InputError, match=r"cut off|not even|missing"):
        validate(path)


def repacked(content: bytes, header: dict[str, object], data: bytes) -> bytes:
    """With another header, and right checks of it and of all arrays."""
    arrays = header["arrays"]
    assert isinstance(arrays, dict)
    for entry in arrays.values():
        at = slice(entry["offset"], entry["offset"] + entry["bytes"])
        entry["crc32"] = zlib.crc32(data[at])
    text = json.dumps(header).encode()
    magic, version, *_ = START.unpack_from(content)
    start = START.pack(magic, version, len(text), zlib.crc32(text), 0)
    return start + text + bytes(-(START.size + len(text)) % 8) + data


JUNK = [None, -1, 0, 1, 2, 15, 2**20, 2**40, 0.5, 1e300, float("nan"), "", [], [1], {}]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed under right checksums, a header changed likewise, or anything changed or cut off anywhere."""
    header, data = split(content, frozenset({EXTENSION}))
    kind = chance.random()
    if kind < 0.45:
        changed = bytearray(data)
        entry = header["arrays"][chance.choice(list(header["arrays"]))]
        for _ in range(chance.randint(1, 4)):
            changed[entry["offset"] + chance.randrange(max(entry["bytes"], 1))] = chance.randrange(256)
        return repacked(content, header, bytes(changed))
    if kind < 0.8:
        place = header[EXTENSION]
        for _ in range(chance.randint(1, 2)):
            key = chance.choice(list(place))
            if isinstance(place[key], dict) and place[key] and chance.random() < 0.8:
                inner = place[key]
                inner[chance.choice(list(inner))] = chance.choice(JUNK)
            elif isinstance(place[key], list) and place[key] and chance.random() < 0.8:
                place[key][chance.randrange(len(place[key]))] = chance.choice(JUNK)
            else:
                place[key] = chance.choice(JUNK)
        return repacked(content, header, data)
    changed = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed[: chance.randrange(len(changed))] if chance.random() < 0.5 else changed)


def fuzz(count: int, seed: int = 0) -> dict[str, int]:
    """How many damaged files were refused and read; anything else is raised."""
    whole, chance, told = GOLDEN.read_bytes(), random.Random(seed), {"refused": 0, "read": 0, "long": 0}
    for _ in range(count):
        try:
            read_compressed(damaged(whole, chance)).as_file()
            told["read"] += 1
        except AvatarFileError as error:
            told["long"] += len(str(error)) > 400
            told["refused"] += 1
    return told


def test_damaged_files_are_refused_and_nothing_else_happens() -> None:
    told = fuzz(400)
    assert told["refused"] > 250 and told["read"] > 3 and not told["long"]
