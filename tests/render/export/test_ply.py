"""Gaussians survive the 3DGS PLY layout, and files that are something else are named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.render.export.ply import read_ply, write_ply
from simulacra.render.gaussians import Gaussians
from simulacra.render.gaussians.spherical_harmonics import rgb_from_sh
from simulacra.render.rotation import quat_normalize, quat_to_matrix
from simulacra.render.runtime.errors import InputError


def some(degree: int, count: int = 7) -> Gaussians:
    generator = torch.Generator().manual_seed(degree)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return Gaussians(
        draw(count, 3), draw(count, 4), draw(count, 3), draw(count), draw(count, (degree + 1) ** 2, 3)
    )


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_it_comes_back_the_same(tmp_path: Path, degree: int) -> None:
    gaussians = some(degree)
    write_ply(tmp_path / "a.ply", gaussians, "y-up")
    back = read_ply(tmp_path / "a.ply")
    assert torch.equal(back.means, gaussians.means)
    assert torch.equal(back.sh, gaussians.sh)
    torch.testing.assert_close(back.quats.norm(dim=1), torch.ones(7))


def test_higher_harmonics_lie_color_after_color(tmp_path: Path) -> None:
    gaussians = some(1)
    write_ply(tmp_path / "a.ply", gaussians, "y-up")
    header, _, content = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    names = [line.split()[2] for line in header.decode().splitlines() if line.startswith("property float ")]
    assert header.startswith(b"ply\nformat binary_little_endian 1.0\n") and b"\nelement vertex 7\n" in header
    rows = np.frombuffer(content, "<f4").reshape(7, len(names))
    table = dict(zip(names, rows.T, strict=True))
    # f_rest_0..2 are red's three coefficients of degree 1, f_rest_3..5 green's.
    assert table["f_rest_1"][4] == gaussians.sh[4, 2, 0].item()
    assert table["f_rest_3"][4] == gaussians.sh[4, 1, 1].item()
    assert table["opacity"][2] == gaussians.logit_opacities[2].item()


@pytest.mark.parametrize("degree", [0, 3])
def test_a_viewer_of_y_down_files_shows_it_upright(tmp_path: Path, degree: int) -> None:
    """Head over feet, right hand on the right, every color from every side as it is here."""
    ours = some(degree)
    write_ply(tmp_path / "a.ply", ours)
    back = read_ply(tmp_path / "a.ply")
    turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    torch.testing.assert_close(back.means @ turn.T, ours.means)
    torch.testing.assert_close(turn @ quat_to_matrix(back.quats), quat_to_matrix(quat_normalize(ours.quats)))
    eyes = torch.tensor([[0.4, 1.5, 3.0], [-2.0, 0.3, -1.0], [0.1, 5.0, 0.2]])
    # The shader of a viewer takes the direction in the file's axes.
    seen = rgb_from_sh(back.sh, back.means, eyes @ turn)
    torch.testing.assert_close(seen, rgb_from_sh(ours.sh, ours.means, eyes))
    if degree:
        assert not torch.allclose(rgb_from_sh(ours.sh, back.means, eyes @ turn), seen, atol=0.1)


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", some(0))
    assert [p.name for p in tmp_path.iterdir()] == ["a.ply"]


def test_another_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mesh.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n"
    )
    with pytest.raises(InputError, match=r"mesh\.ply"):
        read_ply(tmp_path / "mesh.ply")
    with pytest.raises(InputError, match=r"missing\.ply"):
        read_ply(tmp_path / "missing.ply")


def binary(count: object, columns: list[str], values: np.ndarray, kind: str = "float") -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    lines += [f"property {kind} {name}" for name in columns]
    return "\n".join([*lines, "end_header", ""]).encode() + values.tobytes()


COLUMNS = [
    *("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *(f"scale_{k}" for k in range(3)), *(f"rot_{k}" for k in range(4)),
]  # fmt: skip
SOUND = np.full((2, len(COLUMNS)), 0.5, "<f4")


def spoilt(row: int, column: str, value: float, kind: str = "<f4") -> np.ndarray:
    table = SOUND.astype(kind)
    table[row, COLUMNS.index(column)] = value
    return table


HOSTILE: dict[str, Callable[[], bytes]] = {
    "1000000000 vertices": lambda: binary(10**9, COLUMNS, SOUND),
    "-1 vertices": lambda: binary(-1, COLUMNS, SOUND),
    "3 vertices": lambda: binary(3, COLUMNS, SOUND),
    "cannot be read": lambda: binary("9" * 5000, COLUMNS, SOUND),
    "1 to 100 properties": lambda: binary(2, [f"c{k}" for k in range(300)], SOUND),
    "properties of plain": lambda: binary(2, COLUMNS, SOUND, "list uchar float"),
    "format binary_little_endian": lambda: binary(2, COLUMNS, SOUND).replace(b"binary_little_endian", b"ascii"),
    "end_header": lambda: binary(2, COLUMNS, SOUND).replace(b"end_header", b"end"),
    "one element": lambda: binary(2, COLUMNS, SOUND).replace(
        b"element", b"element face 1000000000\nproperty int i\nelement"
    ),
    "properties of plain numbers": lambda: binary(2, COLUMNS, SOUND).replace(
        b"element", b"element vertex 1000000000\nproperty float x\nelement"
    ),
    "of ply": lambda: binary(2, COLUMNS, SOUND).replace(b"\n", b"\r"),
    "finite numbers in x": lambda: binary(2, COLUMNS, spoilt(1, "y", np.nan)),
    "finite numbers in scale": lambda: binary(2, COLUMNS, spoilt(1, "scale_1", np.inf)),
    "finite numbers in opacity": lambda: binary(2, COLUMNS, spoilt(1, "opacity", 1e300, "<f8"), "double"),
    "some length": lambda: binary(2, COLUMNS[:-4] + COLUMNS[-4:], np.hstack([SOUND[:, :-4], SOUND[:, -4:] * 0])),
    "f_rest": lambda: binary(2, [*COLUMNS, "f_rest_0"], np.full((2, 15), 0.5, "<f4")),
    "f_rest_1": lambda: binary(2, [*COLUMNS, *(f"f_rest_{k}a" for k in range(9))], np.full((2, 23), 0.5, "<f4")),
}  # fmt: skip


@pytest.mark.parametrize("said", HOSTILE)
def test_hostile_files_are_named(tmp_path: Path, said: str) -> None:
    path = tmp_path / "a.ply"
    path.write_bytes(binary(2, COLUMNS, SOUND))
    assert len(read_ply(path)) == 2
    path.write_bytes(HOSTILE[said]())
    with pytest.raises(InputError) as caught:
        read_ply(path)
    assert said in str(caught.value)


def test_a_header_of_one_of_our_own_files(tmp_path: Path) -> None:
    """To the byte, since other programs read it: what the library plyfile wrote of the same."""
    write_ply(tmp_path / "a.ply", some(0))
    assert (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")[0].decode() == (
        "ply\nformat binary_little_endian 1.0\ncomment axes: -Y up, right-handed\ncomment units: metres\n"
        "comment written by simulacra\nelement vertex 7\n"
        + "".join(
            f"property float {name}\n"
            for name in (
                "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3"
            ).split()
        )
    )


def test_what_a_header_claims_is_not_made_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10^9 vertices in a file of 1 kB would be 56 GB."""
    (tmp_path / "a.ply").write_bytes(binary(10**9, COLUMNS, SOUND))
    asked = []
    monkeypatch.setattr(np, "fromfile", lambda *words: asked.append(words))
    with pytest.raises(InputError):
        read_ply(tmp_path / "a.ply")
    assert asked == []


def test_gaussians_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    gaussians = some(0)
    gaussians.means[1, 1] = float("nan")
    with pytest.raises(RuntimeError, match="read back"):
        write_ply(tmp_path / "a.ply", gaussians)
    assert list(tmp_path.iterdir()) == []
