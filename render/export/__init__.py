"""Files for other programs. Every format is read back by our own reader and compared before it counts as written."""

from simulacra.render.export.ply import read_ply, write_ply

__all__ = ["read_ply", "write_ply"]
