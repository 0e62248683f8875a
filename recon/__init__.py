"""The inverse: captures to parameters; imports render, never tools. `pipeline` calls the rooms in this order:

`importers` make a `session` of somebody's capture; `preflight` checks it; `observe` finds landmarks and masks in each
picture; `fit` poses one body through all frames, after `multiview` has made the cameras agree; `refine` fuses depth
into a surface; `avatar` trains Gaussians on it; `evaluate` scores held-out views by the measures of `perception`.
`runs` keeps what each made. Beside this path: `calibrate` (cameras), `motion` (recorded motion), `export_session`
(sessions for other programs).
"""
