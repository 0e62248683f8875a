"""What bodies are called in configurations."""

from typing import Literal

BodyName = Literal["anny", "smplx"]
"""The default one, and the user's own SMPL-X."""
