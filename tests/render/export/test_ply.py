"""Gaussians survive the 3DGS PLY layout, and files that are something else are named."""

from pathlib import Path

import pytest
import torch
from plyfile import PlyData

from simulacra.render.export import read_ply, write_ply
from simulacra.render.gaussians import Gaussians
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
    write_ply(tmp_path / "a.ply", gaussians)
    back = read_ply(tmp_path / "a.ply")
    assert torch.equal(back.means, gaussians.means)
    assert torch.equal(back.sh, gaussians.sh)
    torch.testing.assert_close(back.quats.norm(dim=1), torch.ones(7))


def test_higher_harmonics_lie_color_after_color(tmp_path: Path) -> None:
    gaussians = some(1)
    write_ply(tmp_path / "a.ply", gaussians)
    table = PlyData.read(str(tmp_path / "a.ply"))["vertex"]
    # f_rest_0..2 are red's three coefficients of degree 1, f_rest_3..5 green's.
    assert table["f_rest_1"][4] == gaussians.sh[4, 2, 0].item()
    assert table["f_rest_3"][4] == gaussians.sh[4, 1, 1].item()
    assert table["opacity"][2] == gaussians.logit_opacities[2].item()


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
