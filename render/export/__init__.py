"""Files for other programs. Gaussians: `ply`, `packed` (SPZ, SOG), `gltf_splats`. The person as a mesh: `gltf_person`,
`obj`, `usd`, of what `person_mesh` prepares. `gltf` is the container of both glTF kinds.

PLY is read back and compared before it counts as written; of the packed ones the parts are checked.
"""
