"""Fitting the parametric person to a session: one shape, a pose for every frame.

Read `config`, `record`, `fitting`: `tracks` makes landmarks ready, `piece` solves some frames in rounds. What is
sought: `body_space`, of `joints`, `shape_space` and `collapse` (landmarks without vertices). What it is compared
with: `evidence`, `skin`. What it costs: `energy` and `costs`, one file each. How: `start`, the first guess, and
`solve`.
"""

from simulacra.recon.fit.config import FitConfig, WeightConfig
from simulacra.recon.fit.fitting import fit_body
from simulacra.recon.fit.record import BodyFit, load_fit, save_fit

__all__ = ["BodyFit", "FitConfig", "WeightConfig", "fit_body", "load_fit", "save_fit"]
