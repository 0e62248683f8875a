"""Gaussian avatars: made on the fitted body, trained on the photographs, drawn in any of its frames.

Read `settings`, `record`, then `train`, the stage: `views` are stored, `initial` makes Gaussians (`binding`: on which
face each hangs), `loop` trains whatever is a `Trainee` (`training`: its state; `adam`), `gaussian_trainee` is one
(`placement`, `poses`, `losses`, `perception`, `densify`, `relocate`); `device` chooses where; `baseline` and
`free_splats` (on a `visual_hull`) have no body; `start` keeps what trainings have in common. Then `visibility` finds
what was seen, `guesses` fills the rest, and `inspection` counts `faults`. `finished`, `animate` and `pictures` show
what came of it. Loops of Numba are in `losses_cpu`, compiled ahead by `warm`.
"""
