"""Fitting the parametric person to a session: one shape, a pose for every frame."""

from simulacra.recon.fit.config import FitConfig, WeightConfig
from simulacra.recon.fit.fitting import fit_body
from simulacra.recon.fit.record import BodyFit, load_fit, save_fit

__all__ = ["BodyFit", "FitConfig", "WeightConfig", "fit_body", "load_fit", "save_fit"]
