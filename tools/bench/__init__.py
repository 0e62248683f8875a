"""Paired timings of the renderers' backends: run side by side in one process, printed as ratios."""
