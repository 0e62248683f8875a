"""Sessions for other programs: COLMAP and nerfstudio. The importers read them back as they were.

Read `writing`, then a program's file; `picture` is what both are handed.
"""

from simulacra.recon.export_session.writing import Program, export_session

__all__ = ["Program", "export_session"]
