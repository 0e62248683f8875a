"""How Gaussians are made and trained: configurations for avatars, and for the baselines that have no body."""

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
class OwnLoss:
    """A loss of somebody's own.

    Attributes:
        name: of an entry point of the group `simulacra.losses`, or as given to `add_measure`.
        weight: what it is multiplied by.
    """

    name: str
    weight: Weight = 0.1


@config
class PerceptionWeights:
    """Losses that see as people do, on one crop of each step's view; docs/perception.md says what each is. All but
    `gabor`, `ms_ssim`, `nlpd`, `flip` and `outline` need outside files that are fetched by name.

    Attributes:
        lpips_alex: LPIPS over AlexNet.
        lpips_vgg: LPIPS over VGG16.
        dists: structure and texture of VGG16's layers.
        wasserstein: Wasserstein distortion over VGG16's layers: details at the outline, statistics inside.
        gabor: the same over Gabor filters, without a network.
        ms_ssim: structural similarity at several scales.
        nlpd: normalized Laplacian pyramid.
        flip: what one sees who flips between the two.
        outline: square pixels by which the outline is off.
        identity: distance of the two faces, where the photograph shows one.
        own: losses of one's own, by name.
        every: they cost at one step of so many, and then so many times as much.
        shrink: pixels of a view, a side, that are one of a crop: with 2 a step looks at 256 pixels at half their size.
        crop: pixels of a crop, a side, once it is shrunk: what a step looks at, and what it costs.
    """

    lpips_alex: Weight = 0.0
    lpips_vgg: Weight = 0.0
    dists: Weight = 0.0
    wasserstein: Weight = 0.0
    gabor: Weight = 0.0
    ms_ssim: Weight = 0.0
    nlpd: Weight = 0.0
    flip: Weight = 0.0
    outline: Weight = 0.0
    identity: Weight = 0.0
    own: tuple[OwnLoss, ...] = ()
    every: Annotated[int, Interval(ge=1, le=1000)] = 1
    shrink: Annotated[int, Interval(ge=1, le=16)] = 1
    crop: Annotated[int, Interval(ge=32, le=16384)] = 128

    def used(self) -> tuple[str, ...]:
        """Names of the losses that cost anything."""
        named = {
            name: value
            for name, value in vars(self).items()
            if name not in ("own", "every", "shrink", "crop")
        }
        return tuple(name for name, weight in named.items() if weight) + tuple(
            o.name for o in self.own if o.weight
        )


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
        poses: what poses are corrected by, in the fit's own standard deviations: half the mean square.
        size: Gaussians longer than `largest_mm`, relative.
        perception: losses that see as people do.
    """

    l1: Weight = 0.8
    ssim: Weight = 0.2
    mask: Weight = 0.2
    depth: Weight = 0.5
    smooth: Weight = 1.0
    stay: Weight = 0.002
    size: Weight = 0.1
    poses: Weight = 0.001
    perception: PerceptionWeights = PerceptionWeights()


@config
class LearningRates:
    """Adam's step sizes; metres for means, radians for poses (and a third as many metres for the root), the rest in
    their own parameter's unit.
    """

    means: Rate = 1e-4
    quats: Rate = 1e-3
    log_scales: Rate = 5e-3
    logit_opacities: Rate = 1e-2
    sh: Rate = 1e-2
    camera_colors: Rate = 2e-3
    camera_poses: Rate = 4e-4
    poses: Rate = 1e-3


@config
class Densification:
    """When there are more Gaussians, and what becomes of those that show nothing.

    Attributes:
        how: `split` halves those that pictures pull at most, and drops the nearly transparent; `relocate` makes the
            nearly transparent copies of others, the likelier the more pictures pull at these, and what each drew is
            shared out so that the picture stays (Kheradmand et al. 2024).
        every: steps between rounds; 0 never.
        until: part of the steps after which no more are made.
        share: of the Gaussians, how many more there are after a round.
        most: Gaussians at the end.
        least_opacity: below it a Gaussian is dropped, or relocated.
    """

    how: Literal["split", "relocate"] = "split"
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
        refine_poses: whether the fit's poses are corrected by photographs, where several moments are trained on. The
            poses of held-out frames take what lies between the corrections of the frames around them.
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
    refine_poses: bool = False
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
        wrap: whether the body's mesh is wrapped around what was captured first; else it begins as the body was fitted,
            and with `mesh_rates.verts` 0 it stays so.
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
    wrap: bool = True
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


@config
class Relocation(Densification):
    """When the nearly transparent are relocated, as Kheradmand et al. 2024 do it: to the opaque, within a budget.

    Attributes:
        how: nothing else is known here.
    """

    how: Literal["relocate"] = "relocate"
    every: Steps = 25
    until: Share = 0.8
    share: Share = 0.05
    most: Annotated[int, Interval(ge=1, le=5_000_000)] = 50_000
    least_opacity: Annotated[float, Interval(ge=0, le=0.5)] = 0.005


@config
class FreeSplatsConfig:
    """The baseline that needs no depth either: a visual hull, and free Gaussians by Markov chain Monte Carlo.

    The masks of the training cameras carve a hull whose surface becomes Gaussians. They are optimised on color and mask
    after Kheradmand et al. 2024: a budget, relocation of dead Gaussians, noise on the means, and a price of opacity and
    of size.

    Attributes:
        steps: one view each.
        longest_side: pixels at which views are trained.
        grid_mm: side of a cell of the hull; larger where there would be more Gaussians than the budget has.
        densify: the budget, who is dead, and when they are relocated.
        noise: of the means, the paper's factor of their learning rate, 1/m^2.
        opacity_cost: weight of the mean opacity.
        scale_cost: weight of the mean standard deviation in metres.
        seed: of the order of views, the backgrounds, relocation and noise.
        checkpoint_every: steps; an interrupted training continues from there.
        device: as for an avatar.
    """

    kind: Literal["free_splats"]
    steps: SomeSteps = 600
    longest_side: LongestSide = 512
    grid_mm: Annotated[float, Interval(ge=0.5, le=1000)] = 10.0
    densify: Relocation = Relocation()
    noise: Annotated[float, Interval(ge=0, le=1e9)] = 5e5
    opacity_cost: Weight = 0.01
    scale_cost: Weight = 0.01
    seed: Seed = 0
    checkpoint_every: SomeSteps = 50
    device: DeviceSetting = "auto"


TrainedConfig = AvatarConfig | MeshConfig | NeuralTextureConfig | DepthSplatsConfig | FreeSplatsConfig


def losses_used(settings: TrainedConfig) -> tuple[str, ...]:
    """Names of what a training paid for that judges may share: `ssim` and the perceptual ones."""
    if isinstance(settings, DepthSplatsConfig):
        return ()
    if isinstance(settings, FreeSplatsConfig):
        return ("ssim",)
    weights = settings.weights
    return (("ssim",) if weights.ssim else ()) + weights.perception.used()


def has_body(settings: TrainedConfig) -> bool:
    """Whether what is trained hangs on a fitted body."""
    return not isinstance(settings, DepthSplatsConfig | FreeSplatsConfig)
