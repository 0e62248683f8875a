"""Files for other programs: `ply`, `packed` (SPZ, SOG), `gltf_splats`, on `gltf`, the container.

PLY is read back and compared before it counts as written; of the packed ones the parts are checked.
"""

from simulacra.render.export.gltf_splats import splat_glb_bytes, write_splat_glb
from simulacra.render.export.packed import packed_bytes, write_packed
from simulacra.render.export.ply import Axes, ply_bytes, read_ply, write_ply

__all__ = [
    "Axes",
    "packed_bytes",
    "ply_bytes",
    "read_ply",
    "splat_glb_bytes",
    "write_packed",
    "write_ply",
    "write_splat_glb",
]
