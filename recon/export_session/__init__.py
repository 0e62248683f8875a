"""Sessions for other programs: COLMAP and nerfstudio. The importers read them back as they were."""

from simulacra.recon.export_session.writing import Program, export_session

__all__ = ["Program", "export_session"]
