"""What a compressed avatar is made of, as whole numbers, and the chunks of bytes that they become: both directions.

The first chunk tells how many Gaussians each face has. Then comes a chunk for each level, from the coarsest: along
the faces' order every 2^(levels - 1)th Gaussian, then those in the middles, and so on; any number of levels is a
person, only sparser. In a chunk the channels follow one another: steps along the face's two edges, then each field's
channels, predicted from Gaussians of earlier levels (`neighbors`).

A chunk of a level: a uint32, how many bytes of escapes follow; these, each residual zigzagged and in groups of seven
bits, lowest first; then the words of the coder, uint16. The chunk of the counts is the same.

Symbols: ``n`` Gaussians, ``f`` faces, ``c`` channels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt16

from simulacra.render.export.codec import coder, models, neighbors
from simulacra.render.export.codec.errors import CodecError
from simulacra.render.export.codec.surface import (
    Places,
    Surface,
    Whole,
    first_ranges,
    level_rows,
    points_on_surface,
    second_ranges,
)

MOST_LOW = 8
_THRESHOLDS = np.array([half << k for k in range(14) for half in (2, 3)], np.int64)


@dataclass(frozen=True)
class Layout:
    """How Gaussians are laid out in chunks.

    Attributes:
        count: of Gaussians.
        levels: of detail.
        fields: names and how many channels each has, in the order in which they are coded.
    """

    count: int
    levels: int
    fields: tuple[tuple[str, int], ...]

    @property
    def channels(self) -> int:
        """Of all fields, and the two along the surface."""
        return 2 + sum(channels for _, channels in self.fields)


@dataclass(frozen=True)
class Tables:
    """What all levels share.

    Attributes:
        chosen: the model of each channel and context.
        lows: how many low bits of a residual are told as they are in each.
        starts: what a channel's values are near to, where nothing is known yet.
    """

    chosen: UInt8[np.ndarray, "c 28"]
    lows: UInt8[np.ndarray, "c 28"]
    starts: Int64[np.ndarray, "c"]


@dataclass
class _State:
    """What a coder of either direction knows so far."""

    surface: Surface
    places: Places
    layout: Layout
    steps: np.ndarray = field(init=False)
    values: np.ndarray = field(init=False)
    misses: np.ndarray = field(init=False)
    points: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        count, channels = self.layout.count, self.layout.channels - 2
        self.steps = np.zeros((2, count), np.int64)
        self.values = np.zeros((channels, count), np.int32)
        self.misses = np.zeros((channels, count), np.int32)
        self.points = np.zeros((count, 3), np.int64)
        self._none = np.zeros(count, np.int64)
        self._levels = level_rows(count, self.layout.levels)
        self._grids = [self._grids_of(level) for level in range(self.layout.levels)]
        size = 1 << max(10, (2 * count).bit_length())
        self._heads = np.full((neighbors.GRIDS, size), -1, np.int32)
        self._chains = np.empty((neighbors.GRIDS, count), np.int32)

    def _grids_of(self, level: int) -> np.ndarray:
        """In which grid each Gaussian of a level looks: the known are 2^((levels - level) / 2) spacings apart."""
        rows, behind = self._levels[level], self.layout.levels - level
        apart = self.places.spacings[rows] << (behind // 2)
        apart = apart + (apart >> 1) - (apart >> 4) if behind % 2 else apart
        grids = np.zeros(len(rows), np.int64)
        for power in range(1, neighbors.GRIDS):
            grids += apart >= 1 << (neighbors.FINEST + power - 1)
        return grids

    def rows(self, level: int) -> Whole:
        """The Gaussians of a level."""
        return self._levels[level]

    def _stride(self, level: int) -> int:
        """From one of these to the next before and behind that are known; 0 where none is."""
        return 1 << (self.layout.levels - 1 - level) if level else 0

    def place(self, level: int) -> tuple[np.ndarray, np.ndarray]:
        """Finds out where the Gaussians of a level are, whose steps are known, and who their neighbours are."""
        rows = self._levels[level]
        self.points[rows] = points_on_surface(self.surface, self.places.at(rows), self.steps[:, rows])
        found = np.empty((len(rows), neighbors.NEIGHBORS), np.int32)
        weights = np.empty((len(rows), neighbors.NEIGHBORS), np.int32)
        neighbors.find_neighbors(
            self.points, rows, self._grids[level], self._heads, self._chains, found, weights
        )
        later = np.zeros(neighbors.GRIDS, np.bool_)
        for grids in self._grids[level + 1 :]:
            later[grids] = True
        if later.any():
            neighbors.enter_points(self.points, rows, self._heads, self._chains, later)
        return found, weights

    def tangents(self, level: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Of each edge: its number, and what is expected of the steps along it and in which contexts.

        The first edge's steps must be known when the second is asked for.
        """
        rows, divisions = self._levels[level], self.places.divisions
        middle, wide = first_ranges(rows, self._stride(level), self.places.faces, divisions[0], self.steps[0])
        yield 0, middle, half_octaves(wide)
        middle, wide = second_ranges(divisions[:, rows], self.steps[0, rows])
        yield 1, middle, half_octaves(wide)

    def shifts(self, name: str) -> Whole:
        """By how many bits residuals of a field are coarser than its values."""
        return self.places.height_shifts if name == "height" else self._none


def encode_levels(
    surface: Surface, places: Places, layout: Layout, steps: np.ndarray, wanted: np.ndarray
) -> tuple[Tables, list[bytes]]:
    """Args:
    surface: that all hang on.
    places: of the Gaussians in their order.
    layout: of them.
    steps: along the edges, ``2 n``.
    wanted: values of all fields' channels, ``c n``.

    Returns:
        What the levels share, and the chunk of each.
    """
    state = _State(surface, places, layout)
    starts = np.concatenate([[0, 0], np.median(wanted, axis=1) if layout.count else np.zeros(len(wanted))])
    starts = np.round(starts).astype(np.int64)
    coded: list[list[tuple[np.ndarray, np.ndarray]]] = []
    for level in range(layout.levels):
        rows, parts = state.rows(level), []
        for edge, middles, contexts in state.tangents(level):
            state.steps[edge, rows] = steps[edge, rows]
            parts.append((steps[edge, rows] - middles, contexts))
        found, weights = state.place(level)
        for channel, name in enumerate(_names(layout)):
            residuals, contexts = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
            neighbors.residuals_of(
                wanted[channel], state.values[channel], state.misses[channel], rows, found, weights,
                starts[2 + channel], state.shifts(name), residuals, contexts,
            )  # fmt: skip
            parts.append((residuals, contexts))
        coded.append(parts)
    shared = Tables(*_choose(coded, layout.channels), starts)
    return shared, [_chunk(parts, shared) for parts in coded]


def decode_levels(
    surface: Surface, places: Places, layout: Layout, shared: Tables, chunks: list[bytes]
) -> tuple[Int64[np.ndarray, "2 n"], Int32[np.ndarray, "c n"]]:
    """Steps and values of as many levels as there are chunks.

    Gaussians of later levels are left at zero.

    Raises:
        CodecError: a chunk is damaged.
    """
    state = _State(surface, places, layout)
    family = models.tables()
    for level, chunk in enumerate(chunks):
        escapes, words = open_chunk(chunk)
        states, cursor = coder.open_words(words)
        source = (words, states, cursor, family.frequencies, family.starts, family.symbols, escapes)
        rows = state.rows(level)
        for edge, middles, contexts in state.tangents(level):
            steps = np.empty(len(rows), np.int64)
            neighbors.decode_known(*source, shared.chosen[edge], shared.lows[edge], contexts, middles, steps)
            if np.abs(steps).max(initial=0) > coder.MOST_ESCAPE:
                raise CodecError(f"level {level}: a Gaussian is far from its face")
            state.steps[edge, rows] = steps
        found, weights = state.place(level)
        for channel, name in enumerate(_names(layout)):
            neighbors.decode_channel(
                *source, shared.chosen[2 + channel], shared.lows[2 + channel], state.values[channel],
                state.misses[channel], rows, found, weights, shared.starts[2 + channel], state.shifts(name),
            )  # fmt: skip
        if not coder.ended(words, states, cursor) or cursor[3] != len(escapes):
            raise CodecError(f"level {level} is damaged: it does not end where it should")
    return state.steps, state.values


def _names(layout: Layout) -> list[str]:
    """The field of each channel."""
    return [name for name, channels in layout.fields for _ in range(channels)]


def half_octaves(ranges: Whole) -> Whole:
    """Which of the contexts a range of steps belongs to: each is about half an octave."""
    return np.minimum(np.searchsorted(_THRESHOLDS, ranges, side="right"), neighbors.ALONE)


def _choose(
    coded: list[list[tuple[np.ndarray, np.ndarray]]], channels: int
) -> tuple[UInt8[np.ndarray, "c 28"], UInt8[np.ndarray, "c 28"]]:
    """For each channel and context the model and the low bits that make the fewest bits of its residuals."""
    chosen = np.zeros((channels, neighbors.CONTEXTS), np.uint8)
    lows = np.zeros_like(chosen)
    for channel in range(channels):
        residuals, contexts = (np.concatenate(each) for each in zip(*(level[channel] for level in coded)))
        for context in np.unique(contexts):
            here = residuals[contexts == context]
            found, typical = [], np.median(np.abs(here))
            for low in range(MOST_LOW + 1):
                if low and typical < 8 << low:
                    break
                bits = _bits(here, low)
                found.append((float(bits.min()), int(np.argmin(bits)), low))
            _, chosen[channel, context], lows[channel, context] = min(found)
    return chosen, lows


def _bits(residuals: Whole, low: int) -> np.ndarray:
    """How many bits residuals cost in each model, if so many low bits are told as they are."""
    costs = models.costs()
    edge = models.MIDDLE + 1
    symbols = np.clip(residuals >> low, -edge, edge) + edge
    counts = np.bincount(symbols, minlength=2 * edge + 1)
    lengths = np.bincount(symbols, _escape_bits(residuals), minlength=2 * edge + 1)
    escaped = costs[:, models.ESCAPE :] * counts + lengths
    plain = costs[:, : models.ESCAPE]
    known = np.isfinite(plain)
    inside = np.where(known, (np.where(known, plain, 0) + low) * counts[1:-1], escaped[:, 1:-1])
    total: np.ndarray = inside.sum(1) + escaped[:, 0] + escaped[:, -1]
    return total


def _escape_bits(residuals: Whole) -> Whole:
    """How many bits of escapes each residual would make."""
    zigzag = np.where(residuals < 0, -2 * residuals - 1, 2 * residuals)
    groups = np.ones(len(zigzag), np.int64)
    for bits in (7, 14, 21):
        groups += zigzag >> bits > 0
    return 8 * groups


def _chunk(parts: list[tuple[np.ndarray, np.ndarray]], shared: Tables) -> bytes:
    """A level's bytes."""
    family = models.tables()
    residuals = np.concatenate([residuals for residuals, _ in parts])
    which, lows = (
        np.concatenate([table[channel][contexts] for channel, (_, contexts) in enumerate(parts)]).astype(
            np.int64
        )
        for table in (shared.chosen, shared.lows)
    )
    high = residuals >> lows
    symbols = np.where(np.abs(high) <= models.MIDDLE, high + models.MIDDLE, models.ESCAPE)
    symbols = np.where(family.frequencies[which, symbols] > 0, symbols, models.ESCAPE)
    escaped = symbols == models.ESCAPE
    # A residual is a symbol and, where it has low bits and is not escaped, a number of equal chances.
    frequencies, starts = np.zeros((2, len(symbols), 2), np.int64)
    frequencies[:, 0], starts[:, 0] = family.frequencies[which, symbols], family.starts[which, symbols]
    frequencies[:, 1] = models.TOTAL >> lows
    starts[:, 1] = (residuals & ((1 << lows) - 1)) * frequencies[:, 1]
    told = np.stack([np.ones(len(symbols), bool), ~escaped & (lows > 0)], 1)
    words = coder.encode_symbols(frequencies[told], starts[told])
    return pack_chunk(residuals[escaped], words)


def pack_chunk(escapes: Whole, words: UInt16[np.ndarray, "w"]) -> bytes:
    """Escapes and words as bytes."""
    told = bytearray()
    for residual in escapes.tolist():
        rest = -2 * residual - 1 if residual < 0 else 2 * residual
        while rest >= 128:
            told.append(rest & 127 | 128)
            rest >>= 7
        told.append(rest)
    return struct.pack("<I", len(told)) + bytes(told) + words.astype("<u2").tobytes()


def open_chunk(chunk: bytes) -> tuple[Whole, UInt16[np.ndarray, "w"]]:
    """Escapes and words of a chunk.

    Raises:
        CodecError: it is none.
    """
    if len(chunk) < 4 + 2 * coder.HEAD:
        raise CodecError("a chunk is too short")
    told = struct.unpack_from("<I", chunk)[0]
    rest = len(chunk) - 4 - told
    if rest < 2 * coder.HEAD or rest % 2:
        raise CodecError("a chunk says more of itself than it has")
    words = np.frombuffer(chunk, "<u2", rest // 2, 4 + told).astype(np.uint16)
    return _read_escapes(np.frombuffer(chunk, np.uint8, told, 4)), words


def _read_escapes(told: UInt8[np.ndarray, "b"]) -> Whole:
    ends = np.flatnonzero(told < 128)
    if len(told) and (not len(ends) or ends[-1] != len(told) - 1):
        raise CodecError("an escaped residual does not end")
    begins = np.concatenate([[0], ends + 1])[:-1] if len(ends) else ends
    lengths = ends - begins + 1
    if lengths.max(initial=0) > 4:
        raise CodecError("an escaped residual is too long")
    found = np.zeros(len(ends), np.int64)
    for place in range(4):
        has = lengths > place
        found[has] |= (told[begins[has] + place].astype(np.int64) & 127) << (7 * place)
    return np.where(found & 1, -(found + 1) // 2, found // 2)
