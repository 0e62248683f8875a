"""`ns-train simulacra-run`: the avatar of a run in nerfstudio's viewer. Nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.data.datamanagers.full_images_datamanager import FullImageDatamanagerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification

from .drawing import draw
from .program import made_once
from .sessions import SessionDataParserConfig
from .splats import read_splats

# In the order in which gsplat takes them.
SPLATS = ("means", "quats", "scales", "opacities", "colors")


@dataclass
class RunModelConfig(ModelConfig):
    """A run of simulacra.

    Attributes:
        run: the folder that `simulacra reconstruct` made.
        cache: where its PLY is kept.
        enable_collider: nerfstudio's own, for methods that are given rays; this one is given cameras.
    """

    _target: type = field(default_factory=lambda: RunModel)
    run: Path = Path("RUN")
    cache: Path = Path("~/.cache/simulacra/nerfstudio")
    enable_collider: bool = False


class RunModel(Model):
    """Draws the Gaussians of a run."""

    config: RunModelConfig

    def populate_modules(self) -> None:
        super().populate_modules()
        run = Path(self.config.run).expanduser().resolve()
        file = Path(self.config.cache).expanduser() / f"{run.name}.ply"
        file.unlink(missing_ok=True)
        made_once(file, "export", run, "--to", "ply", "--axes", "y-up")
        for name, values in read_splats(file).items():
            self.register_buffer(name, torch.from_numpy(values).contiguous())
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def get_param_groups(self) -> dict[str, list[torch.nn.Parameter]]:
        return {"nothing": [self.nothing]}

    def get_outputs(self, camera: Cameras) -> dict[str, torch.Tensor]:
        to_world = torch.eye(4, device=self.device)
        to_world[:3] = camera.camera_to_worlds[0].to(self.device)
        to_world[:, 1:3] *= -1  # OpenGL's axes, which nerfstudio has, to OpenCV's
        to_camera, intrinsics = (
            torch.linalg.inv(to_world),
            camera.get_intrinsics_matrices().to(self.device)[0],
        )
        size = int(camera.width.item()), int(camera.height.item())
        color, coverage, depth = self._draw(to_camera, intrinsics, *size)
        over_white = (color + 1 - coverage).clamp(0, 1)
        return {"rgb": over_white, "depth": depth, "accumulation": coverage}

    def _draw(
        self, to_camera: torch.Tensor, intrinsics: torch.Tensor, width: int, height: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """gsplat's kernels on a card, and the same picture from torch alone without one."""
        splats = {name: getattr(self, name) for name in SPLATS}
        if self.device.type != "cuda":
            with torch.no_grad():
                return draw(splats, to_camera, intrinsics, width, height)
        from gsplat import rasterization

        drawn, coverage, _ = rasterization(
            *splats.values(), to_camera[None], intrinsics[None], width, height, render_mode="RGB+ED"
        )
        return drawn[0, ..., :3], coverage[0], drawn[0, ..., 3:]

    def get_outputs_for_camera(self, camera: Cameras, obb_box: Any | None = None) -> dict[str, torch.Tensor]:
        return self.get_outputs(camera.to(self.device))

    def get_loss_dict(self, outputs: Any, batch: Any, metrics_dict: Any = None) -> dict[str, torch.Tensor]:
        return {"nothing": (self.nothing**2).sum()}

    def get_image_metrics_and_images(self, outputs: Any, batch: Any) -> Any:
        return {}, {"rgb": outputs["rgb"]}


specification = MethodSpecification(
    config=TrainerConfig(
        method_name="simulacra-run",
        max_num_iterations=1,
        pipeline=VanillaPipelineConfig(
            datamanager=FullImageDatamanagerConfig(dataparser=SessionDataParserConfig()),
            model=RunModelConfig(),
        ),
        optimizers={"nothing": {"optimizer": AdamOptimizerConfig(lr=1e-3), "scheduler": None}},
        viewer=ViewerConfig(num_rays_per_chunk=1 << 15),
        vis="viewer",
    ),
    description="the avatar of a run of simulacra, to look at",
)
