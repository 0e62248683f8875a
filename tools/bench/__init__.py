"""Paired timings of the renderers' backends: run side by side in one process, printed as ratios.

`splat`, `mesh`, `train` and `drive` are a command each, on the scenes of `scene` and `avatar_scene`, against
`torch_tiles` and `arithmetic`; `timing`, `memory` and `printing` measure and say.
"""
