"""Perceptual measures by name: the project's own, and those of others.

Whoever has a measure of his own gives it a name in a package's metadata, as an entry point of the group
`simulacra.losses`, or calls `add_measure` before training. Either names a function without arguments that makes a
`Measure`. Nothing is ever made of code in a text.
"""

from __future__ import annotations

import difflib
from importlib.metadata import entry_points

from simulacra.recon.perception.dists import Dists
from simulacra.recon.perception.flip import Flip
from simulacra.recon.perception.identity import Identity
from simulacra.recon.perception.lpips import Lpips
from simulacra.recon.perception.measure import Factory, Measure
from simulacra.recon.perception.ms_ssim import MultiscaleSsim
from simulacra.recon.perception.nlpd import LaplacianDistance
from simulacra.recon.perception.outline_loss import OutlineLoss
from simulacra.recon.perception.wasserstein import GaborWasserstein, VggWasserstein
from simulacra.render.runtime.errors import ConfigError

GROUP = "simulacra.losses"

OWN: dict[str, Factory] = {
    "lpips_alex": lambda: Lpips("alex"),
    "lpips_vgg": lambda: Lpips("vgg"),
    "dists": Dists,
    "wasserstein": VggWasserstein,
    "gabor": GaborWasserstein,
    "ms_ssim": MultiscaleSsim,
    "nlpd": LaplacianDistance,
    "flip": Flip,
    "outline": OutlineLoss,
    "identity": Identity,
}
# Outside files without which one of them cannot be had.
ASSETS: dict[str, tuple[str, ...]] = {
    "lpips_alex": ("lpips_alex",),
    "lpips_vgg": ("lpips_vgg",),
    "dists": ("lpips_vgg", "dists_weights"),
    "wasserstein": ("lpips_vgg",),
    "identity": ("face_recognition",),
}
# Metrics of views that losses have trained: the same function, or another over the same network.
JUDGED_BY: dict[str, tuple[str, ...]] = {
    "lpips_alex": ("lpips_alex",),
    "lpips_vgg": ("lpips_vgg", "dists"),
    "dists": ("lpips_vgg", "dists"),
    "wasserstein": ("lpips_vgg", "dists"),
    "ssim": ("ssim_crop",),
    "ms_ssim": ("ssim_crop",),
    "outline": ("outline_offset_px",),
}

_ADDED: dict[str, Factory] = {}


def add_measure(name: str, factory: Factory) -> None:
    """Gives a measure of one's own a name, for this process: `avatar.weights.perception.own` then takes it.

    Raises:
        ConfigError: the name is taken.
    """
    if name in OWN:
        raise ConfigError(
            "a measure of this name is the project's own", where=name, remedy="choose another name"
        )
    _ADDED[name] = factory


def measure_names() -> tuple[str, ...]:
    """All that `open_measure` knows, the project's own first."""
    others = [found.name for found in entry_points(group=GROUP)]
    return tuple(dict.fromkeys((*OWN, *_ADDED, *others)))


def open_measure(name: str) -> Measure:
    """The measure of a name: the project's own before those added by call, before those of entry points.

    Raises:
        ConfigError: there is none, or what an entry point names makes no `Measure`.
    """
    factory = OWN.get(name) or _ADDED.get(name) or _from_entry_point(name)
    made = factory()
    if not isinstance(made, Measure):
        raise ConfigError(
            "a loss of one's own has to be a Measure",
            where=name,
            expected="a function without arguments that makes a simulacra.recon.perception.measure.Measure",
            found=type(made).__name__,
        )
    return made


def _from_entry_point(name: str) -> Factory:
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        near = difflib.get_close_matches(name, measure_names(), n=1)
        raise ConfigError(
            "there is no loss of this name",
            where=f"avatar.weights.perception: {name}",
            expected="one of " + ", ".join(measure_names()),
            remedy=f"did you mean {near[0]}?"
            if near
            else f"install what has it as an entry point of {GROUP}",
        )
    loaded: Factory = found[0].load()
    return loaded
