"""How Gaussians are made and trained: one configuration for avatars, one for the baseline that has no body."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Interval

from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.ranges import LongestSide, Seed, Share, Weight

DeviceSetting = Literal["auto", "cpu", "cuda"]
Steps = Annotated[int, Interval(ge=0, le=1_000_000)]
SomeSteps = Annotated[int, Interval(ge=1, le=1_000_000)]
# A Gaussian has neighbours, and on the body a few are drawn by chance; 5 million are 1.2 GB with Adam's moments.
Count = Annotated[int, Interval(ge=100, le=5_000_000)]
# Adam moves by so much a step: more than 1 is a metre, or from black to white.
Rate = Annotated[float, Interval(ge=0, le=1)]


@config
class LossWeights:
    """What a step pays for.

    Attributes:
        l1: color against the photograph, both over the same random background.
        ssim: structural similarity of the same two.
        mask: coverage against the person's mask.
        depth: metres of expected depth against measured depth, where there is any.
        smooth: how much a Gaussian's displacement differs from its neighbours', per square centimetre.
        stay: displacement from where it was made, per square centimetre.
        size: Gaussians longer than `largest_mm`, relative.
    """

    l1: Weight = 0.8
    ssim: Weight = 0.2
    mask: Weight = 0.2
    depth: Weight = 0.5
    smooth: Weight = 1.0
    stay: Weight = 0.002
    size: Weight = 0.1


@config
class LearningRates:
    """Adam's step sizes; metres for means, the rest in their own parameter's unit."""

    means: Rate = 1e-4
    quats: Rate = 1e-3
    log_scales: Rate = 5e-3
    logit_opacities: Rate = 1e-2
    sh: Rate = 1e-2
    camera_colors: Rate = 2e-3
    camera_poses: Rate = 4e-4


@config
class Densification:
    """When Gaussians are split and dropped.

    Attributes:
        every: steps between rounds; 0 never.
        until: part of the steps after which no more are made.
        share: of the Gaussians, the ones with the largest screen gradients, that are split in a round.
        most: Gaussians at the end.
        least_opacity: below it a Gaussian is dropped.
    """

    every: Steps = 0
    until: Share = 0.6
    share: Share = 0.1
    most: Annotated[int, Interval(ge=1, le=5_000_000)] = 80_000
    least_opacity: Annotated[float, Interval(ge=0, le=0.5)] = 0.05


@config
class AvatarConfig:
    """An avatar of Gaussians that hang on a body.

    Attributes:
        steps: one view each.
        longest_side: pixels at which views are trained.
        count: Gaussians made on the body where there is no fused surface.
        lining: Gaussians made on the body beneath a fused surface. Nobody sees them in the pose of the capture;
            they are what shows where clothes part in another.
        largest_mm: the length of a Gaussian beyond which it costs.
        sh_degree: of the spherical harmonics of each Gaussian's color: with 0 it is the same from every direction, with
            up to 3 highlights move. What few directions saw is not known better by it, and files grow.
        most_standoff_mm: a surface point further from the body than this is not of the person.
        align_steps: of a first training that only serves to correct the training cameras' poses by what they see in
            common; the surface is then colored anew, and trained from there. 0 leaves the calibration as it is. The
            corrections have a mean of zero, so that the world stays where it is for the cameras that are held out; if
            they are no larger than their own error, they are not taken.
        seed: of the order of views and the backgrounds.
        checkpoint_every: steps; an interrupted training continues from there.
        device: on which to train: `auto` is an NVIDIA card where torch sees one and gsplat is installed, else `cpu`.
        weights: of the losses.
        rates: of Adam.
        densify: more Gaussians where the pictures ask for them.
    """

    kind: Literal["gaussians"] = "gaussians"
    steps: SomeSteps = 300
    longest_side: LongestSide = 512
    count: Count = 30_000
    lining: Annotated[int, Interval(ge=0, le=5_000_000)] = 24_000
    largest_mm: Annotated[float, Interval(ge=0.1, le=1000)] = 12.0
    sh_degree: Annotated[int, Interval(ge=0, le=3)] = 0
    most_standoff_mm: Annotated[float, Interval(ge=1, le=1000)] = 120.0
    align_steps: Steps = 100
    seed: Seed = 0
    checkpoint_every: SomeSteps = 50
    device: DeviceSetting = "auto"
    weights: LossWeights = LossWeights()
    rates: LearningRates = LearningRates()
    densify: Densification = Densification()


@config
class MeshRates:
    """Adam's step sizes; metres for vertices, the rest in their own parameter's unit."""

    verts: Rate = 2e-4
    texture: Rate = 5e-3
    features: Rate = 5e-3
    decoder: Rate = 1e-3
    camera_colors: Rate = 2e-3
    camera_poses: Rate = 4e-4


@config
class MeshSettings:
    """A closed mesh with the body's texture coordinates: what meshes of all kinds have in common.

    Attributes:
        steps: one view each.
        longest_side: pixels at which views are trained.
        edge_mm: the longest edge of the mesh; the body's own longer ones are halved until they are.
        texture: rows and columns of the picture.
        seed: of the order of views and the backgrounds.
        checkpoint_every: steps; an interrupted training continues from there.
        device: `auto` is the CPU, where meshes are drawn.
        weights: of the losses; `size` has no meaning for a mesh.
        paint_stays: weight of the texture's mean square difference to how it was painted first.
        mesh_rates: of Adam.
    """

    steps: SomeSteps = 160
    longest_side: LongestSide = 512
    edge_mm: Annotated[float, Interval(ge=2, le=1000)] = 10.0
    texture: Annotated[int, Interval(ge=16, le=8192)] = 1024
    seed: Seed = 0
    checkpoint_every: SomeSteps = 50
    device: DeviceSetting = "auto"
    weights: LossWeights = LossWeights(mask=0.5)
    paint_stays: Weight = 10.0
    mesh_rates: MeshRates = MeshRates()


@config
class MeshConfig(MeshSettings):
    """An avatar of a closed mesh with a picture as its colors."""

    kind: Literal["mesh"]


@config
class NeuralTextureConfig(MeshSettings):
    """A mesh avatar whose colors are a picture and what a small decoder adds to it, of learned features and of the
    direction from which it is seen.

    Attributes:
        features: of each texel.
        feature_texels: rows and columns of the features.
        hidden: units of the decoder.
    """

    kind: Literal["neural_texture"]
    features: Annotated[int, Interval(ge=1, le=64)] = 8
    feature_texels: Annotated[int, Interval(ge=16, le=4096)] = 512
    hidden: Annotated[int, Interval(ge=1, le=256)] = 16


@config
class DepthSplatsConfig:
    """The baseline: what depth and free Gaussians give without any of this project.

    The depth of the training cameras, unprojected and averaged on a grid, becomes Gaussians that are optimised on
    color and mask, each view alike.

    Attributes:
        steps: one view each.
        longest_side: pixels at which views are trained.
        grid_mm: side of a cell.
        least_points: depth pixels without which a cell stays empty.
        seed: of the order of views.
        checkpoint_every: steps; an interrupted training continues from there.
        device: as for an avatar.
    """

    kind: Literal["depth_splats"]
    steps: SomeSteps = 300
    longest_side: LongestSide = 512
    grid_mm: Annotated[float, Interval(ge=0.5, le=1000)] = 6.0
    least_points: Annotated[int, Interval(ge=1, le=1_000_000)] = 4
    seed: Seed = 0
    checkpoint_every: SomeSteps = 50
    device: DeviceSetting = "auto"


TrainedConfig = AvatarConfig | MeshConfig | NeuralTextureConfig | DepthSplatsConfig


def has_body(settings: TrainedConfig) -> bool:
    """Whether what is trained hangs on a fitted body."""
    return not isinstance(settings, DepthSplatsConfig)
