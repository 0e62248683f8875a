"""Files for other programs, one a format; now `ply`. Each is read back and compared before it counts as written."""

from simulacra.render.export.ply import read_ply, write_ply

__all__ = ["read_ply", "write_ply"]
