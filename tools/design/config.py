"""What is asked of a rig. The schema of configs/design/."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any

from annotated_types import Interval
from pydantic import Field

from simulacra.recon.evaluate.metrics import METRICS
from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.runs.configuration import config

from ..virtual.config import VirtualCaptureConfig

# Of whatever is varied, whose own range decides.
SweptNumber = Annotated[float, Interval(ge=-1e15, le=1e15)]
SweptCount = Annotated[int, Interval(ge=-(10**15), le=10**15)]


@config
class Variant:
    """A rig, as what it changes in the configuration.

    Attributes:
        name: for people.
        stage: changes to the virtual capture, by dotted keys: {rig.count: 4}.
        run: changes to the reconstruction, likewise.
    """

    name: str
    stage: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)


@config
class Sweep:
    """One thing that is varied, all else as it is.

    Attributes:
        name: for people, with its unit.
        option: dotted key of the virtual capture.
        values: the first is what others are compared with.
    """

    name: str
    option: str
    values: Annotated[tuple[SweptNumber | SweptCount | str, ...], Field(min_length=1)]


@config
class DesignConfig:
    """What is compared.

    Attributes:
        stage: virtual captures where variants and sweeps say nothing else.
        run: their reconstruction, likewise.
        variants: rigs.
        sweeps: what is varied, for each of them.
        repeats: virtual captures for each point: other people, other noise, other errors; the same ones at all points.
        metrics: what is shown.
        tolerance: an error is allowed while the first metric is not this much worse (a share) than at a sweep's first
            value.
    """

    stage: VirtualCaptureConfig = field(default_factory=VirtualCaptureConfig)
    run: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    variants: tuple[Variant, ...] = (Variant(name="the rig"),)
    sweeps: tuple[Sweep, ...] = ()
    repeats: Annotated[int, Interval(ge=2, le=1000)] = 4
    metrics: tuple[str, ...] = ("true_joints_mm", "true_surface_mm", "psnr_fg")
    tolerance: Annotated[float, Interval(ge=0, le=100)] = 0.1

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown or not self.metrics:
            raise ValueError(f"metrics that exist: {', '.join(METRICS)}; not {', '.join(unknown) or 'none'}")
        for kind, names in (
            ("variants", [variant.name for variant in self.variants]),
            ("sweeps", [sweep.option for sweep in self.sweeps]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{kind} need names of their own: {', '.join(names)}")
        if not self.variants:
            raise ValueError("at least one variant")
