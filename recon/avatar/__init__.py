"""Gaussian avatars: made on the fitted body, trained on the photographs, drawn in any of its frames.

Read `settings`, `record`, then `train`, the stage: `views` are stored, `initial` makes Gaussians (`binding`: on which
face each hangs), `loop` trains whatever is a `Trainee` (`training`: its state; `adam`), `gaussian_trainee` is one
(`placement`, `losses`, `densify`); `device` chooses where; `baseline` has no body. Then `visibility` finds what was
seen, `guesses` fills the rest, and `inspection` counts `faults`. `finished`, `animate` and `pictures` show what came of
it. Loops of Numba are in `losses_cpu`, compiled ahead by `warm`.
"""
