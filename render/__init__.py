"""The forward model: parameters to pixels. Knows nothing of captures; imports torch, never recon or tools.

Read `rotation` and `camera` (conventions), `body` (a parametric person), `gaussians` (`record`, then `rasterize`),
and `avatar`, which hangs Gaussians on a body through `skinning`. Beside them: `mesh`, a rasterizer of triangles;
`image`, pictures as files; `export`, formats of other programs; `runtime`, what a program needs of a machine.
"""
