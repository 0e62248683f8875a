"""Records of a run, read back: what is not the record that its class describes is a named error, never a crash later.

Archives are numpy's `savez` without compression (`mapped`), so that none can ask for more memory than it is long, and
an array of Python objects, which is a program, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from jaxtyping import jaxtyped

from simulacra.recon.runs.mapped import map_arrays
from simulacra.render.runtime.errors import RunError

# What comes of JSON and arrays that are not of the form that a reader takes them to have.
MISFITS = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


@contextmanager
def record_errors(path: Path) -> Iterator[None]:
    """Around the reading of a record: whatever is wrong with it is one kind of error.

    Raises:
        RunError: the file is missing or damaged, or holds something else.
    """
    try:
        yield
    except MISFITS as error:
        said = str(error) if isinstance(error, OSError | ValueError) else repr(error)
        raise RunError(
            "a run's own file cannot be read",
            where=path,
            found=said[:200],
            remedy="`simulacra repair` on the run, or delete it, and run again",
        ) from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz that `recon.runs.files.write_arrays` wrote, in memory.

    Raises:
        OSError: the file is missing.
        ValueError: it is damaged, or not such a file.
    """
    return {name: np.array(array) for name, array in map_arrays(path).items()}


def check_arrays(kind: type, arrays: Mapping[str, Any]) -> None:
    """That arrays are of the shapes and types that the fields of a record are annotated with.

    Args:
        kind: the record's class.
        arrays: of some of its fields, by their names; symbols for sizes mean the same in all of them.

    Raises:
        ValueError: one is not.
    """
    hints = get_type_hints(kind)
    with jaxtyped("context"):
        for name, array in arrays.items():
            if not isinstance(array, hints[name]):
                found = f"{array.dtype} {list(array.shape)}" if hasattr(array, "dtype") else repr(array)[:40]
                expected = getattr(hints[name], "__name__", hints[name])
                raise ValueError(f"{name} is {found}, not {expected} as in {kind.__name__}")


def check_count(name: str, counted: object, count: int) -> None:
    """That there is one entry for each of something.

    Raises:
        ValueError: there is not.
    """
    if not isinstance(counted, list | tuple) or len(counted) != count:
        raise ValueError(f"{name} are not {count}")
