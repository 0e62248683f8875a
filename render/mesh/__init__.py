"""Triangle meshes and their rasterization.

Read `record`, `rasterize` (the calls), `reference` (the rules, in torch), then `cpu` and `kernels`; `antialias` gives
outlines gradients (`outline_kernels`), `normals`, `lighting`, `texture` and `shading` make colors, each with its
kernels beside it; `topology` says who neighbours whom, `warm` compiles all, `pytorch3d` is another backend.
"""

from simulacra.render.mesh.antialias import antialias
from simulacra.render.mesh.lighting import light_from_directions, shade_sh
from simulacra.render.mesh.normals import face_normals, vertex_normals
from simulacra.render.mesh.rasterize import interpolate, rasterize_mesh
from simulacra.render.mesh.record import MeshRendering
from simulacra.render.mesh.shading import shade
from simulacra.render.mesh.texture import Mipmaps, build_mips, mip_levels, sample_texture
from simulacra.render.mesh.topology import face_neighbours
from simulacra.render.mesh.warm import warmup

__all__ = [
    "MeshRendering",
    "Mipmaps",
    "antialias",
    "build_mips",
    "face_neighbours",
    "face_normals",
    "interpolate",
    "light_from_directions",
    "mip_levels",
    "rasterize_mesh",
    "sample_texture",
    "shade",
    "shade_sh",
    "vertex_normals",
    "warmup",
]
