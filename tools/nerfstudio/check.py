"""Tests of the plugin, in an environment of its own: `python tools/nerfstudio/check.py [SESSION]`.

With a session (and `SIMULACRA`, the program) it is exported and parsed, and the cameras are compared with its own.
Where nerfstudio cannot be imported its documented interface stands in for it, and the last line says so.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))


def stand_in() -> None:
    """docs.nerf.studio: a dataparser is a config dataclass and a class with `_generate_dataparser_outputs(split)`."""

    @dataclass
    class Config:
        _target: type = field(default_factory=lambda: object)
        data: Path = Path()

        def setup(self) -> Any:
            return self._target(self)

    class Parser:
        def __init__(self, config: Config) -> None:
            self.config = config

        def get_dataparser_outputs(self, split: str = "train") -> Any:
            return self._generate_dataparser_outputs(split)

        def _generate_dataparser_outputs(self, split: str = "train") -> Any:
            described = json.loads((self.config.data / "transforms.json").read_text())
            chosen = [f for f in described["frames"] if f["file_path"] in described[f"{split}_filenames"]]
            poses = np.array([frame["transform_matrix"] for frame in chosen])[:, :3]
            names = [self.config.data / frame["file_path"] for frame in chosen]
            return types.SimpleNamespace(
                image_filenames=names, cameras=types.SimpleNamespace(camera_to_worlds=poses)
            )

    @dataclass
    class Specification:
        config: Any
        description: str

    content = {
        "nerfstudio.data.dataparsers.base_dataparser": {"DataparserOutputs": object},
        "nerfstudio.data.dataparsers.nerfstudio_dataparser": {
            "Nerfstudio": Parser,
            "NerfstudioDataParserConfig": Config,
        },
        "nerfstudio.plugins.registry_dataparser": {"DataParserSpecification": Specification},
    }
    for name, things in content.items():
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:depth]), types.ModuleType(".".join(parts[:depth])))
        vars(sys.modules[name]).update(things)


def check_split() -> None:
    from simulacra_nerfstudio.sessions import split_files

    frames = [{"file_path": f"images/{c}/{f:06d}.png"} for c in "ab" for f in range(2)]
    split = split_files(frames, ("b",))
    assert split["train_filenames"] == ["images/a/000000.png", "images/a/000001.png"]
    assert split["val_filenames"] == split["test_filenames"] == ["images/b/000000.png", "images/b/000001.png"]
    assert len(split_files(frames, ())["train_filenames"]) == 4
    for wrong in (("c",), ("a", "b")):
        try:
            split_files(frames, wrong)
        except ValueError:
            continue
        raise AssertionError(f"{wrong} was taken")


def check_splats() -> None:
    from simulacra_nerfstudio.splats import TURN, read_splats

    names = (
        "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
    )
    values = np.array([[1, 2, 3, 0, 0, 0, 0, 1, -9, 0, -1, -2, -3, 0.5, 0.5, 0.5, 0.5]], "<f4")
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "element vertex 1",
        *(f"property float {n}" for n in names),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ply"
        path.write_bytes("\n".join([*header, "end_header", ""]).encode() + values.tobytes())
        found = read_splats(path)
    np.testing.assert_allclose(found["means"], [[1, -3, 2]])  # +Y has become +Z
    w, x, y, z = found["quats"][0]
    axes = np.array(
        [[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
         [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
         [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]]
    )  # fmt: skip
    # (1, 1, 1, 1) / 2 takes X to Y, Y to Z and Z to X.
    np.testing.assert_allclose(axes, TURN @ np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]), atol=1e-6)
    np.testing.assert_allclose(found["scales"], np.exp([[-1, -2, -3]]), rtol=1e-6)
    np.testing.assert_allclose(found["colors"], [[0.5, 0.78209, 0.0]], atol=1e-4)


def check_drawing() -> None:
    """Fragments blended at once against every pixel by itself, front to back; whole and in parts; and a known pixel."""
    import torch
    from simulacra_nerfstudio import drawing

    random = torch.Generator().manual_seed(0)
    n, width, height = 40, 32, 24
    quats = torch.randn(n, 4, generator=random)
    splats = {
        "means": torch.randn(n, 3, generator=random) * torch.tensor([0.5, 0.4, 0.4]),
        "quats": quats / quats.norm(dim=1, keepdim=True),
        "scales": 0.02 + 0.15 * torch.rand(n, 3, generator=random),
        "opacities": torch.rand(n, generator=random),
        "colors": torch.rand(n, 3, generator=random),
    }
    to_camera = torch.eye(4)
    to_camera[2, 3] = 2.0
    intrinsics = torch.tensor([[30.0, 0, 16], [0, 30.0, 12], [0, 0, 1]])
    where, inverse, _, painted = (
        part.double() for part in drawing.project(splats, to_camera, intrinsics, width, height)
    )
    expected = torch.zeros(height, width, 5, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            left = 1.0
            for i in range(n):
                off = torch.tensor([column + 0.5, row + 0.5], dtype=torch.float64) - where[i]
                alpha = float((painted[i, 4] * torch.exp(-0.5 * off @ inverse[i] @ off)).clamp(max=0.999))
                # Where a Gaussian is cut off, at three deviations, it has e^-4.5 of its opacity left.
                if alpha >= 1 / 255 and float(off @ inverse[i] @ off) < 9:
                    expected[row, column, :4] += left * alpha * painted[i, :4]
                    expected[row, column, 4] += left * alpha
                    left *= 1 - alpha
    most = drawing.MOST_FRAGMENTS
    for fragments in (most, 300):
        drawing.MOST_FRAGMENTS = fragments
        color, coverage, depth = drawing.draw(splats, to_camera, intrinsics, width, height)
        np.testing.assert_allclose(color, expected[..., :3], atol=0.02)
        np.testing.assert_allclose(coverage, expected[..., 4:], atol=0.02)
        seen = expected[..., 4] > 0.5
        np.testing.assert_allclose(
            depth[..., 0][seen], (expected[..., 3] / expected[..., 4])[seen], atol=0.03
        )
    drawing.MOST_FRAGMENTS = most
    # On the axis, at a pixel's center, it has its own opacity and color; what is behind shows by the rest.
    two = {
        "means": torch.tensor([[0.0, 0, 1], [0, 0, 0]]),
        "quats": torch.tensor([[1.0, 0, 0, 0]]).repeat(2, 1),
        "scales": torch.full((2, 3), 0.2),
        "opacities": torch.tensor([0.9, 0.75]),
        "colors": torch.eye(3)[:2],
    }
    intrinsics = torch.tensor([[30.0, 0, 16.5], [0, 30.0, 12.5], [0, 0, 1]])
    color, coverage, depth = drawing.draw(two, to_camera, intrinsics, width, height)
    np.testing.assert_allclose(color[12, 16], [0.25 * 0.9, 0.75, 0], atol=1e-5)
    np.testing.assert_allclose(coverage[12, 16], [0.975], atol=1e-5)
    np.testing.assert_allclose(depth[12, 16], [(0.75 * 2 + 0.225 * 3) / 0.975], atol=1e-5)


def check_session(session: Path) -> int:
    """Cameras of the parsed session are the session's own, turned to +Z up and to OpenGL's axes."""
    from simulacra_nerfstudio.sessions import SessionDataParserConfig

    described = json.loads((session / "session.json").read_text())
    cameras = {camera["name"]: np.array(camera["viewmat"]) for camera in described["cameras"]}
    out = sorted(cameras)[0]
    turn = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    with tempfile.TemporaryDirectory() as cache:
        config = SessionDataParserConfig(data=session, held_out=(out,), cache=Path(cache))
        parser, count = config.setup(), 0
        for split in ("train", "val"):
            found = parser.get_dataparser_outputs(split)
            for file, pose in zip(found.image_filenames, np.asarray(found.cameras.camera_to_worlds)):
                name = Path(file).parent.name
                assert (name == out) == (split == "val"), file
                expected = (turn @ np.linalg.inv(cameras[name]) @ np.diag([1, -1, -1, 1]))[:3]
                np.testing.assert_allclose(pose, expected, atol=1e-5)
                assert Path(file).is_file()
                count += 1
    assert count
    return count


def main() -> None:
    try:
        importlib.import_module("nerfstudio.data.dataparsers.nerfstudio_dataparser")
        importlib.import_module("nerfstudio.plugins.registry_dataparser")
        against = "nerfstudio itself"
    except ImportError as error:
        against = f"nerfstudio's documented interface (it cannot be imported here: {error})"
        stand_in()
    check_split()
    check_splats()
    try:
        check_drawing()
        drawn = "drawing"
    except ModuleNotFoundError as error:
        drawn = f"drawing not tried ({error})"
    said = f", {check_session(Path(sys.argv[1]))} pictures of a session" if len(sys.argv) > 1 else ""
    try:
        importlib.import_module("simulacra_nerfstudio.method")
        method = "the method is accepted"
    except ImportError as error:
        method = f"the method was not tried ({error})"
    print(f"sound: split, splats, {drawn}{said}; {method}; against {against}")


if __name__ == "__main__":
    main()
