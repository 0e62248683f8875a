"""Triangle meshes and their rasterization."""

from render.mesh.antialias import antialias
from render.mesh.rasterize import interpolate, rasterize_mesh
from render.mesh.record import MeshRendering
from render.mesh.shading import face_normals, shade, vertex_normals
from render.mesh.topology import face_neighbours
from render.mesh.warm import warmup

__all__ = [
    "MeshRendering",
    "antialias",
    "face_neighbours",
    "face_normals",
    "interpolate",
    "rasterize_mesh",
    "shade",
    "vertex_normals",
    "warmup",
]
