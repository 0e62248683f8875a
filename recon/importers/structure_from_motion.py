"""Cameras out of pictures alone, by COLMAP (Schönberger and Frahm 2016) through pycolmap, the extra `sfm`.

SIFT features, matched between all pairs (of many pictures in a row: between near ones and a coarse grid), verified by
epipolar geometry, and an incremental reconstruction with bundle adjustment. On one thread with a fixed seed, so that
the same pictures give the same cameras on one machine; another processor or version may differ in the last digits, and
where a picture hangs by few matches in whether it is registered.

COLMAP's pixels are ours: the first pixel's centre is at (0.5, 0.5). Its world has no scale and no up.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.colmap_model import make_camera
from simulacra.recon.importers.options import SolvedLens
from simulacra.recon.session import Lens
from simulacra.render.runtime.errors import CaptureError, MissingExtraError

# Parameters after focal length and principal point, of which OPENCV has two focal lengths.
LENS_PARAMETERS: dict[SolvedLens, int] = {"SIMPLE_PINHOLE": 0, "SIMPLE_RADIAL": 1, "RADIAL": 2, "OPENCV": 4}
SEED = 0
# Matching is the slow part: it takes the square of this, and half a second a pair on one core.
MOST_FEATURES = 3000
LARGEST_SIDE = 1600
# All pairs of so many pictures are matched; of more in a row, those this near, and every GRID-th with each other.
ALL_PAIRS = 24
NEAR = 8
GRID = 6


@dataclass(frozen=True)
class SolvedView:
    """One picture's camera; viewmat in the reconstruction's own unit and world."""

    K: Float[np.ndarray, "3 3"]
    lens: Lens | None
    viewmat: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Structure:
    """What was reconstructed.

    Attributes:
        views: of the registered pictures, by name.
        points: in the reconstruction's world.
        error: mean reprojection error of the points, pixels.
        support: points that a picture in the middle of all shows.
        lost: why, of every picture that is not registered.
        models: reconstructions that fell apart; this one is the largest.
    """

    views: Mapping[str, SolvedView]
    points: Float[np.ndarray, "n 3"]
    error: float
    support: int
    lost: Mapping[str, str]
    models: int


def structure_from_motion(
    folder: Path,
    names: Sequence[str],
    work: Path,
    *,
    where: object,
    shared: bool,
    model: SolvedLens,
    focal: float | None,
    size: tuple[int, int],
) -> Structure:
    """Cameras of the pictures of a folder.

    Args:
        names: file names in the order in which they were taken.
        work: an empty folder for COLMAP's files.
        where: the capture, for errors.
        shared: one camera took all; otherwise each has its own intrinsics.
        focal: a first guess in pixels; 1.2 times the longer side if not given.
        size: width and height of all pictures, if shared.

    Raises:
        MissingExtraError: pycolmap is not installed.
        CaptureError: nothing could be reconstructed.
    """
    colmap = _colmap()
    database = work / "database.db"
    try:
        _match(colmap, database, folder, names, shared=shared, model=model, focal=focal, size=size)
        options = colmap.IncrementalPipelineOptions()
        options.num_threads = 1
        options.random_seed = SEED
        options.min_model_size = 3
        options.extract_colors = False
        found = colmap.incremental_mapping(database, folder, work, options)
    except (RuntimeError, ValueError) as error:  # COLMAP's checks
        raise CaptureError("COLMAP cannot work with these pictures", where=where, found=error) from error
    seen = _matches(colmap, database)
    if not found:
        raise CaptureError(
            "no cameras can be reconstructed from these pictures",
            where=where,
            expected="pictures that overlap and are taken from places apart",
            found="; ".join(
                f"{number}. {seen.get(name, 'not read')}" for number, name in enumerate(names[:8], 1)
            ),
            remedy="take more pictures in smaller steps (under 15 degrees), of a scene with texture that stands still",
        )
    best = max(found.values(), key=lambda one: (one.num_reg_images(), one.num_points3D()))
    views = {}
    for number in sorted(best.reg_image_ids()):
        image = best.image(number)
        views[image.name] = _view(best.camera(image.camera_id), image.cam_from_world())
    points = [best.point3D(number).xyz for number in sorted(best.point3D_ids())]
    return Structure(
        {name: views[name] for name in names if name in views},
        np.array(points, np.float64).reshape(-1, 3),
        float(best.compute_mean_reprojection_error()),
        int(np.median([best.image(number).num_points3D for number in best.reg_image_ids()])),
        {name: seen.get(name, "not read") for name in names if name not in views},
        len(found),
    )


def _colmap() -> Any:
    try:
        import pycolmap
    except ImportError as error:
        raise MissingExtraError(
            "cameras out of pictures alone need pycolmap", remedy="pip install 'simulacra[sfm]'"
        ) from error
    pycolmap.logging.minloglevel = int(pycolmap.logging.FATAL.value)
    return pycolmap


def _match(
    colmap: Any,
    database: Path,
    folder: Path,
    names: Sequence[str],
    *,
    shared: bool,
    model: SolvedLens,
    focal: float | None,
    size: tuple[int, int],
) -> None:
    """Features and verified matches into the database."""
    colmap.set_random_seed(SEED)
    reader = colmap.ImageReaderOptions()
    reader.camera_model = model
    if focal is not None and shared:
        focals = [focal] * (2 if model == "OPENCV" else 1)
        given = [*focals, size[0] / 2, size[1] / 2, *[0.0] * LENS_PARAMETERS[model]]
        reader.camera_params = ",".join(f"{value:.6f}" for value in given)
    extraction = colmap.FeatureExtractionOptions()
    extraction.num_threads, extraction.use_gpu = 1, False
    extraction.max_image_size, extraction.sift.max_num_features = LARGEST_SIDE, MOST_FEATURES
    mode = colmap.CameraMode.SINGLE if shared else colmap.CameraMode.PER_IMAGE
    colmap.extract_features(
        database, folder, list(names), camera_mode=mode, reader_options=reader, extraction_options=extraction,
        device=colmap.Device.cpu,
    )  # fmt: skip
    matching = colmap.FeatureMatchingOptions()
    matching.num_threads, matching.use_gpu = 1, False
    verification = colmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = SEED
    if len(names) <= ALL_PAIRS:
        colmap.match_exhaustive(
            database, matching_options=matching, verification_options=verification, device=colmap.Device.cpu
        )
        return
    pairs = database.with_name("pairs.txt")
    pairs.write_text("".join(f"{names[i]} {names[j]}\n" for i, j in picture_pairs(len(names))), "utf-8")
    pairing = colmap.ImportedPairingOptions()
    pairing.match_list_path = str(pairs)
    colmap.match_image_pairs(
        database, matching_options=matching, pairing_options=pairing, verification_options=verification,
        device=colmap.Device.cpu,
    )  # fmt: skip


def picture_pairs(count: int) -> list[tuple[int, int]]:
    """Pairs of a row that may close to a ring: near ones, also over its end, and a coarse grid of all."""
    near = {tuple(sorted((i, (i + step) % count))) for i in range(count) for step in range(1, NEAR + 1)}
    grid = set(itertools.combinations(range(0, count, GRID), 2))
    return sorted((int(i), int(j)) for i, j in near | grid if i != j)


def _view(camera: Any, cam_from_world: Any) -> SolvedView:
    known = make_camera(
        camera.model.name, camera.width, camera.height, list(map(float, camera.params)), "COLMAP's camera"
    )
    viewmat = np.eye(4)
    viewmat[:3] = cam_from_world.matrix()
    return SolvedView(known.K, known.lens, viewmat)


def _matches(colmap: Any, path: Path) -> dict[str, str]:
    """In words, how much each picture shares with others."""
    if not path.is_file():
        return {}
    database = colmap.Database.open(path)
    try:
        images = {image.image_id: image.name for image in database.read_all_images()}
        features = {number: database.num_keypoints_for_image(number) for number in images}
        most = dict.fromkeys(images, 0)
        pairs = dict.fromkeys(images, 0)
        for pair, geometry in zip(*database.read_two_view_geometries()):
            count = len(geometry.inlier_matches)
            for number in colmap.pair_id_to_image_pair(pair):
                most[number] = max(most[number], count)
                pairs[number] += count >= 15
    finally:
        database.close()
    return {
        name: f"{features[number]} features, {pairs[number]} other pictures match, the best with {most[number]}"
        for number, name in images.items()
    }
