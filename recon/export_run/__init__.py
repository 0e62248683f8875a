"""A finished run for other programs: `asked` says which poses, then one file a kind: `splats` (PLY, SPZ, SOG, glTF).

The formats themselves are in `render.export`, for what is drawn, and beside the motions that they hold, here.
"""

from simulacra.recon.export_run.asked import REST, Posed, choose_poses, frame_rate
from simulacra.recon.export_run.splats import SPLATS, write_splats

__all__ = ["REST", "SPLATS", "Posed", "choose_poses", "frame_rate", "write_splats"]
