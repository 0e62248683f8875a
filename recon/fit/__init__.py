"""Fitting the parametric person to a session: one shape, a pose for every frame."""

from recon.fit.config import FitConfig, WeightConfig
from recon.fit.fitting import fit_body
from recon.fit.record import BodyFit, load_fit, save_fit

__all__ = ["BodyFit", "FitConfig", "WeightConfig", "fit_body", "load_fit", "save_fit"]
