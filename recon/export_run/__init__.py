"""A finished run for other programs: `asked` says which poses, then one file a kind: `splats`, `person` (meshes),
`motions`.

What a format is like is in `render.export`, for what is drawn, and in `recon.export_motion`.
"""

from simulacra.recon.export_run.asked import ALL, REST, Posed, choose_poses, frame_rate
from simulacra.recon.export_run.motions import MOTIONS, write_motion
from simulacra.recon.export_run.person import MESHES, textured_person, write_person
from simulacra.recon.export_run.splats import SPLATS, write_splats

__all__ = [
    "ALL",
    "MESHES",
    "MOTIONS",
    "REST",
    "SPLATS",
    "Posed",
    "choose_poses",
    "frame_rate",
    "textured_person",
    "write_motion",
    "write_person",
    "write_splats",
]
