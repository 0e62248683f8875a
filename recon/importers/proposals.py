"""Values that a capture's files make likely for the options that they do not say: shown to the user, never taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simulacra.recon.importers.color_depth_files import COLOR_FOLDERS, DEPTH_FOLDERS
from simulacra.recon.importers.finding import files_below, folder_named
from simulacra.recon.importers.footage import list_images, visible
from simulacra.recon.importers.pickled_arrays import read_pickled_arrays
from simulacra.render.image import read_image, read_uint16
from simulacra.render.runtime.errors import UserError

# Depth units in a metre: millimetres, tenths of them, a fifth (TUM), a quarter (RealSense L515).
SCALES = (1000, 10000, 5000, 4000)
# Metres from a camera to a person that it films, where nothing else says how far that is.
NEAREST, FARTHEST = 0.25, 6.0


def rig_words(src: Path) -> Sequence[str]:
    """The depth scale of a ring of cameras: the one at which depth reaches as far as where their axes meet."""
    try:
        params = [
            read_pickled_arrays(path)
            for path in files_below(folder_named(src, ("PARAM",)) or src)
            if path.suffix == ".npy"
        ][:32]
        centres = np.array(
            [-RT[:, :3].T @ RT[:, 3] for RT in (np.asarray(one["RT"], float) for one in params)]
        )
        axes = np.array([np.asarray(one["RT"], float)[2, :3] for one in params])
        across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
        meet = np.linalg.lstsq(across.sum(0), np.einsum("nij,nj->i", across, centres), rcond=None)[0]
        distance = float(np.median(np.linalg.norm(centres - meet, axis=1)))
    except (UserError, KeyError, ValueError, TypeError, IndexError, np.linalg.LinAlgError):
        distance = 0.0
    return ("--depth-scale", f"{_scale(_middle_depth(folder_named(src, ('DEPTH',))), distance)}")


def color_depth_words(src: Path) -> Sequence[str]:
    """The depth scale and whether depth lies over the color images: it does where both are of one shape."""
    owners = [src, *(path for path in visible(src) if path.is_dir())]
    owner = next((one for one in owners if folder_named(one, COLOR_FOLDERS)), src)
    depth = folder_named(owner, DEPTH_FOLDERS)
    scale, lies = _scale(_middle_depth(depth), 0.0), "aligned"
    try:
        color = list_images(folder_named(owner, COLOR_FOLDERS) or owner)
        (h, w), (height, width) = (
            read_image(color[0]).shape[:2],
            read_uint16(list_images(depth or owner)[0]).shape,
        )
        lies = "aligned" if abs(w * height / (h * width) - 1) < 0.02 else "separate"
    except (UserError, IndexError):
        pass
    return ("--depth-scale", f"{scale}", "--depth-is", lies)


def _middle_depth(folder: Path | None) -> float:
    """The median of what was measured in the first depth image, in its units; 0 where there is none."""
    found = [path for path in files_below(folder) if path.suffix.lower() == ".png"] if folder else []
    try:
        depth = read_uint16(found[0])
    except (UserError, IndexError):
        return 0.0
    return float(np.median(depth[depth > 0])) if (depth > 0).any() else 0.0


def _scale(middle: float, distance: float) -> int:
    """The scale at which a median depth is nearest to a distance, or else at which it is one to a person."""
    if middle > 0 and distance > 0:
        return min(SCALES, key=lambda scale: abs(np.log(middle / scale / distance)))
    return next((scale for scale in SCALES if NEAREST < middle / scale < FARTHEST), SCALES[0])
