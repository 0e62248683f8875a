"""A range coder of asymmetric numeral systems (Duda, "Asymmetric numeral systems", 2013): encoder and decoder.

Four states take turns, symbol by symbol; each lies from 2^16 to below 2^32 and takes or gives 16 bits at a time. The
decoder starts from four pairs of words (the encoder's last states) and must end with four of 2^16 and no word left:
whatever ends otherwise is damaged. Encoding runs backwards through the symbols, so that decoding runs forwards.
Residuals that no model knows are escaped; they are told in numbers of their own.

Symbols: ``n`` symbols, ``w`` words.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from simulacra.render.export.codec import models
from simulacra.render.runtime.compiled import kernel_compiler

FIRST = 1 << 16  # a state before the first symbol is encoded, and after the last is decoded
STATES = 4
HEAD = 2 * STATES  # words
MOST_ESCAPE = 1 << 24

compiled = kernel_compiler(__file__, models.__file__)


@no_type_check
@compiled()
def encode_symbols(frequencies, starts):
    """The words of symbols that have these frequencies and starts in 4096ths, ``n`` each: the four states first."""
    count = len(frequencies)
    words = np.empty(count + HEAD, np.uint16)
    at = count + HEAD
    states = np.full(STATES, FIRST, np.uint64)
    for i in range(count - 1, -1, -1):
        frequency, state = np.uint64(frequencies[i]), states[i & 3]
        if state >= (frequency << np.uint64(20)):
            at -= 1
            words[at] = state & np.uint64(0xFFFF)
            state >>= np.uint64(16)
        states[i & 3] = ((state // frequency) << np.uint64(12)) + (state % frequency) + np.uint64(starts[i])
    for k in range(STATES - 1, -1, -1):
        at -= 2
        words[at] = states[k] & np.uint64(0xFFFF)
        words[at + 1] = states[k] >> np.uint64(16)
    return words[at:]


@no_type_check
@compiled(inline="always")
def settle(words, states, cursor, state):
    """Keeps the state of this turn, with 16 bits more where it has become small; the next one's turn comes."""
    if state < np.uint32(65536):
        at = cursor[0]
        if at < len(words):
            state = np.uint32((state << np.uint32(16)) | np.uint32(words[at]))
            cursor[0] = at + 1
        else:
            cursor[2] = 1
            state = np.uint32(65536)
    states[cursor[1] & 3] = state
    cursor[1] += 1


@no_type_check
@compiled(inline="always")
def step(words, states, cursor, frequencies, starts, symbols, model):
    """Decodes one symbol; ``cursor``: the next word, the number of the symbol, whether something was wrong, escapes."""
    turn = cursor[1] & 3
    state = states[turn]
    low = state & np.uint32(4095)
    symbol = symbols[model, low]
    state = (
        np.uint32(frequencies[model, symbol]) * (state >> np.uint32(12))
        + low
        - np.uint32(starts[model, symbol])
    )
    settle(words, states, cursor, state)
    return symbol


@no_type_check
@compiled(inline="always")
def plain_step(words, states, cursor, bits):
    """Decodes a number of so many bits (at most 12), all of which are equally likely."""
    turn = cursor[1] & 3
    state = states[turn]
    number = (state & np.uint32(4095)) >> np.uint32(12 - bits)
    state = (np.uint32(1) << np.uint32(12 - bits)) * (state >> np.uint32(12)) + (
        (state & np.uint32(4095)) & ((np.uint32(1) << np.uint32(12 - bits)) - np.uint32(1))
    )
    settle(words, states, cursor, state)
    return np.int64(number)


def open_words(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States and cursor at the beginning of a chunk's words (at least eight)."""
    head = words[:HEAD].astype(np.uint32)
    return head[0::2] | (head[1::2] << np.uint32(16)), np.array([HEAD, 0, 0, 0], np.int64)


def ended(words: np.ndarray, states: np.ndarray, cursor: np.ndarray) -> bool:
    """Whether a chunk was decoded to its very end and nothing contradicted."""
    return bool((states == FIRST).all() and cursor[0] == len(words) and not cursor[2])
