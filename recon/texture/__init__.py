"""A picture of the person's skin and clothes for the body's texture coordinates, out of the training views.

`sight` says which vertices a view shows, `labels` which view each triangle is taken from, `levelling` evens out where
views meet, `bake` paints; `photographs` reads the views of a run.
"""

from simulacra.recon.texture.bake import Texture, bake_texture
from simulacra.recon.texture.photographs import training_photographs
from simulacra.recon.texture.sight import Photograph

__all__ = ["Photograph", "Texture", "bake_texture", "training_photographs"]
