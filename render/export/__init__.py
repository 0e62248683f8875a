"""Files for other programs. Gaussians: `ply`, `packed` (SPZ, SOG), `gltf_splats`. The person as a mesh: `gltf_person`,
`obj`, `usd`, of what `person_mesh` prepares. `gltf` is the container of both glTF kinds.

PLY is read back and compared before it counts as written; of the packed ones the parts are checked.
"""

from simulacra.render.export.gltf_person import person_glb_bytes, write_person_glb
from simulacra.render.export.gltf_splats import splat_glb_bytes, write_splat_glb
from simulacra.render.export.obj import write_obj
from simulacra.render.export.packed import packed_bytes, write_packed
from simulacra.render.export.person_mesh import Person
from simulacra.render.export.ply import Axes, ply_bytes, read_ply, write_ply
from simulacra.render.export.usd import write_usd

__all__ = [
    "Axes",
    "Person",
    "packed_bytes",
    "person_glb_bytes",
    "ply_bytes",
    "read_ply",
    "splat_glb_bytes",
    "write_obj",
    "write_packed",
    "write_person_glb",
    "write_ply",
    "write_splat_glb",
    "write_usd",
]
