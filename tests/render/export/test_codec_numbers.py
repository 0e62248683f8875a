"""The codec's whole numbers: models, coder, faces, counts, forms; each there and back, and known answers."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulacra.render.export.codec import coder, connectivity, counts, models, neighbors, stream, surfels
from simulacra.render.export.codec.errors import CodecError
from simulacra.render.export.codec.surface import Surface, find_places, level_rows, whole_root

CHANCE = 5
MODELS_SHA256 = "0892e1ce7d655cfb88a0e177b1a0c3d75290593e1d680ca2842dec40fd1eca63"


def sheet(side: int = 6) -> Surface:
    """A flat square of quads 1 cm wide, cut into triangles, that faces +Z."""
    at = np.arange(side + 1) * 41  # 2^-12 m
    x, y = np.meshgrid(at, at)
    verts = np.stack([x.ravel(), y.ravel(), np.zeros(x.size, np.int64)], 1)
    corner = (np.arange(side)[:, None] * (side + 1) + np.arange(side)).ravel()
    quads = np.stack([corner, corner + 1, corner + side + 2, corner + side + 1], 1)
    return Surface(verts, quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3))


def test_the_models_are_the_same_on_every_machine() -> None:
    """Known answer: whoever changes a bit of a table can read no file that was written before."""
    digest = hashlib.sha256(models.tables().frequencies.astype("<u2").tobytes()).hexdigest()
    assert digest == MODELS_SHA256


def test_models_are_distributions_that_know_small_residuals_better() -> None:
    frequencies = models.tables().frequencies.astype(np.int64)
    assert (frequencies.sum(1) == models.TOTAL).all() and (frequencies[:, models.ESCAPE] > 0).all()
    middle = frequencies[:, models.MIDDLE : models.ESCAPE]
    assert (np.diff(middle[:, 1:], axis=1) <= 0).all()
    assert np.array_equal(
        frequencies[:, 1 : models.MIDDLE], frequencies[:, models.ESCAPE - 2 : models.MIDDLE : -1]
    )
    # A scale that is a third of an octave larger has a larger spread, in each shape.
    spread = (frequencies[:, :255] * np.arange(-127, 128) ** 2).sum(1).reshape(models.SHAPES, models.SCALES)
    grows = np.diff(spread[:, 3:24], axis=1)
    assert (grows >= 0).all() and (grows[[0, 1, 3]] > 0).all()  # a plateau is whole residuals wide


@given(st.lists(st.integers(-400, 400), max_size=200), st.integers(0, models.MODELS - 1), st.integers(0, 3))
def test_residuals_come_back(values: list[int], model: int, low: int) -> None:
    residuals = np.array(values, np.int64)
    chosen = np.full((1, neighbors.CONTEXTS), model, np.uint8)
    lows = np.full((1, neighbors.CONTEXTS), low, np.uint8)
    contexts = np.arange(len(residuals)) % neighbors.CONTEXTS
    chunk = stream._chunk([(residuals, contexts)], stream.Tables(chosen, lows, np.zeros(1, np.int64)))
    assert np.array_equal(decoded(chunk, chosen[0], lows[0], contexts), residuals)


def decoded(chunk: bytes, chosen: np.ndarray, lows: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    family = models.tables()
    escapes, words = stream.open_chunk(chunk)
    states, cursor = coder.open_words(words)
    found = np.empty(len(contexts), np.int64)
    expected = np.zeros(len(contexts), np.int64)
    neighbors.decode_known(
        words, states, cursor, family.frequencies, family.starts, family.symbols, escapes,
        chosen, lows, contexts, expected, found,
    )  # fmt: skip
    assert coder.ended(words, states, cursor) and cursor[3] == len(escapes)
    return found


def test_bytes_are_as_few_as_the_models_promise() -> None:
    """Within half a percent of the cross-entropy: 50,000 geometric residuals in the model of their own scale."""
    chance = np.random.default_rng(CHANCE)
    residuals = chance.geometric(0.3, 50_000) - chance.geometric(0.3, 50_000)
    contexts = np.zeros(len(residuals), np.int64)
    chosen, lows = stream._choose([[(residuals, contexts)]], 1)
    chunk = stream._chunk([(residuals, contexts)], stream.Tables(chosen, lows, np.zeros(1, np.int64)))
    counted = np.bincount(residuals - residuals.min()) / len(residuals)
    entropy = -(counted[counted > 0] * np.log2(counted[counted > 0])).sum() * len(residuals) / 8
    assert entropy < len(chunk) < 1.01 * entropy


def test_a_word_too_few_or_too_many_is_known() -> None:
    residuals, contexts = np.arange(-20, 20), np.zeros(40, np.int64)
    shared = stream.Tables(*stream._choose([[(residuals, contexts)]], 1), np.zeros(1, np.int64))
    chunk = stream._chunk([(residuals, contexts)], shared)
    for wrong in (chunk[:-2], chunk + b"\0\0"):
        with pytest.raises(AssertionError):
            decoded(wrong, shared.chosen[0], shared.lows[0], contexts)


@pytest.mark.parametrize("told", [b"\x80", b"\x80\x80\x80\x80\x01", b"\x01\x80"])
def test_escapes_that_do_not_end_are_refused(told: bytes) -> None:
    with pytest.raises(CodecError, match="escaped"):
        stream.open_chunk(len(told).to_bytes(4, "little") + told + bytes(2 * coder.HEAD))


def test_counts_of_faces_come_back() -> None:
    chance = np.random.default_rng(CHANCE)
    found = chance.poisson(1.2, 4000)
    found[7] = 500  # which no table knows
    frequencies, escapes, words = counts.encode_counts(found)
    assert np.array_equal(counts.decode_counts(len(found), frequencies, escapes, words), found)
    with pytest.raises(CodecError, match="sum to 4096"):
        counts.decode_counts(len(found), frequencies + np.uint16(1), escapes, words)
    with pytest.raises(CodecError, match="damaged"):
        counts.decode_counts(len(found) + 1, frequencies, escapes, words)


def test_faces_come_back_with_their_corners_in_order() -> None:
    surface = sheet(9)
    order = connectivity.first_use_order(surface.faces, len(surface.verts))
    place = np.argsort(order)
    faces = np.random.default_rng(CHANCE).permuted(place[surface.faces], axis=0)
    for each in (place[surface.faces], faces):
        streams = connectivity.encode_faces(each)
        assert np.array_equal(connectivity.decode_faces(*streams), each)
    edges, corners, named = connectivity.encode_faces(place[surface.faces])
    assert (edges != connectivity.NONE).mean() >= 0.5 and len(named) < len(edges) / 4
    for wrong in ((edges, corners[:-1], named), (edges[:-1], corners, named)):
        with pytest.raises(CodecError, match="damaged"):
            connectivity.decode_faces(*wrong)


def test_each_level_fills_the_middles_and_all_are_there() -> None:
    rows = level_rows(101, 4)
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(101))
    assert np.array_equal(rows[0], np.arange(0, 101, 8)) and np.array_equal(rows[1], np.arange(4, 101, 8))
    assert [len(level) for level in level_rows(1, 7)] == [1, 0, 0, 0, 0, 0, 0]


@given(st.integers(0, 3 * 10**18))
def test_whole_roots_are_exact(value: int) -> None:
    root = int(whole_root(np.array([value]))[0])
    assert root * root <= value < (root + 1) * (root + 1)


def test_spacings_are_those_of_the_sheet() -> None:
    """Four Gaussians a square of 1 cm are 5 mm apart; steps of a tenth of that divide its edges into twenty."""
    surface = sheet()
    places = find_places(surface, np.full(len(surface.faces), 2), 410)
    assert np.abs(places.spacings / 65536 - 0.005).max() < 1e-4
    straight = places.divisions[0][places.faces % 2 == 0]
    assert set(straight.tolist()) <= {19, 20, 21}


def test_forms_come_back_whatever_the_axes_are_called() -> None:
    chance = np.random.default_rng(CHANCE)
    turns = np.linalg.qr(chance.normal(size=(300, 3, 3)))[0]
    turns *= np.sign(np.linalg.det(turns))[:, None, None]
    logs = chance.normal(-5, 0.7, (300, 3))
    rotations, log_scales = surfels.of_forms(surfels.forms_of(turns, logs))
    wanted = turns @ (np.exp(2 * logs)[:, :, None] * turns.transpose(0, 2, 1))
    found = rotations @ (np.exp(2 * log_scales)[:, :, None] * rotations.transpose(0, 2, 1))
    assert np.allclose(found, wanted, rtol=1e-9, atol=1e-12)
    assert np.allclose(np.linalg.det(rotations), 1)
    # The same ellipsoid under other names of its axes has the same numbers.
    named = surfels.forms_of(turns[:, :, [2, 0, 1]], logs[:, [2, 0, 1]])
    assert np.allclose(named, surfels.forms_of(turns, logs))


def test_neighbors_are_the_nearest_of_those_that_are_known() -> None:
    chance = np.random.default_rng(CHANCE)
    points = np.concatenate([chance.integers(0, 6000, (400, 2)), np.zeros((400, 1), np.int64)], 1)
    known, asked = np.arange(0, 400, 2), np.arange(1, 400, 2)
    heads = np.full((neighbors.GRIDS, 1024), -1, np.int32)
    chains = np.empty((neighbors.GRIDS, 400), np.int32)
    neighbors.enter_points(points, known, heads, chains, np.ones(neighbors.GRIDS, bool))
    found = np.empty((200, neighbors.NEIGHBORS), np.int32)
    weights = np.empty((200, neighbors.NEIGHBORS), np.int32)
    grids = np.full(200, 5)  # cells of 1024 units, where points are 424 apart
    neighbors.find_neighbors(points, asked, grids, heads, chains, found, weights)
    assert set(weights.sum(1).tolist()) <= {0, 1 << neighbors.WEIGHT_BITS}
    distances = ((points[asked][:, None] - points[known][None]) ** 2).sum(2)
    nearest = known[np.argmin(distances, 1)]
    inside = (points[asked][:, :2] > 600).all(1) & (points[asked][:, :2] < 5400).all(1)
    assert (found[inside, 0] == nearest[inside]).mean() > 0.95
    assert (found[weights > 0] % 2 == 0).all()
