"""How many Gaussians hang on each face, as bytes: a number a face, told in the context of the two faces before it.

Frequencies of the counts 0 to 62 in each of 13 contexts (the sum of the last two counts, at most 12) are beside the
chunk, in 4096ths; 63 is an escape, after which the count is told apart. Symbols: ``f`` faces in their order.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Int64, UInt16

from simulacra.render.export.codec import coder, models
from simulacra.render.export.codec.coder import step
from simulacra.render.export.codec.errors import CodecError
from simulacra.render.runtime.compiled import kernel_compiler

CONTEXTS, COUNTS = 13, 64
ESCAPE = COUNTS - 1

Frequencies = UInt16[np.ndarray, "13 64"]
compiled = kernel_compiler(__file__, models.__file__, coder.__file__)


def encode_counts(counts: Int64[np.ndarray, "f"]) -> tuple[Frequencies, Int64[np.ndarray, "e"], np.ndarray]:
    """Frequencies, escaped counts and the coder's words."""
    symbols = np.minimum(counts, ESCAPE)
    before = np.concatenate([[0, 0], symbols])
    contexts = np.minimum(before[:-2] + before[1:-1], CONTEXTS - 1)
    seen = np.zeros((CONTEXTS, COUNTS), np.int64)
    np.add.at(seen, (contexts, symbols), 1)
    frequencies = np.stack([_whole_frequencies(row) for row in seen])
    starts = np.cumsum(frequencies, 1) - frequencies
    words = coder.encode_symbols(frequencies[contexts, symbols], starts[contexts, symbols])
    return frequencies.astype(np.uint16), counts[symbols == ESCAPE], words


def decode_counts(
    faces: int, frequencies: Frequencies, escapes: Int64[np.ndarray, "e"], words: UInt16[np.ndarray, "w"]
) -> Int64[np.ndarray, "f"]:
    """The counts.

    Raises:
        CodecError: they are damaged.
    """
    if (frequencies.astype(np.int64).sum(1) != models.TOTAL).any():
        raise CodecError("frequencies of counts do not sum to 4096")
    wide = np.zeros((CONTEXTS, models.SYMBOLS), np.uint16)
    wide[:, :COUNTS] = frequencies
    starts = (np.cumsum(wide, 1, dtype=np.int64) - wide).astype(np.uint16)
    symbols = np.stack([np.repeat(np.arange(models.SYMBOLS, dtype=np.uint8), row) for row in wide])
    states, cursor = coder.open_words(words)
    found = np.empty(faces, np.int64)
    _decode(words, states, cursor, wide, starts, symbols, found)
    escaped = found == ESCAPE
    if not coder.ended(words, states, cursor) or escaped.sum() != len(escapes) or (escapes < ESCAPE).any():
        raise CodecError("the counts of the faces are damaged: they do not end where they should")
    found[escaped] = escapes
    return found


@no_type_check
@compiled()
def _decode(words, states, cursor, frequencies, starts, symbols, found):
    last, before = 0, 0
    for i in range(len(found)):
        symbol = np.int64(step(words, states, cursor, frequencies, starts, symbols, min(last + before, 12)))
        found[i] = symbol
        last, before = symbol, last


def _whole_frequencies(seen: Int64[np.ndarray, "64"]) -> Int64[np.ndarray, "64"]:
    """Counts of symbols as 4096ths that sum to 4096, at least one for each that was seen."""
    total = max(int(seen.sum()), 1)
    found = np.where(seen > 0, np.maximum(seen * (models.TOTAL - COUNTS) // total, 1), 0)
    found[int(np.argmax(seen))] += models.TOTAL - found.sum()
    return found
