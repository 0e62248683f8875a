"""Files for other programs, one a format; now `ply`. Each is read back and compared before it counts as written."""

from simulacra.render.export.ply import Axes, read_ply, write_ply

__all__ = ["Axes", "read_ply", "write_ply"]
