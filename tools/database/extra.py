"""The extra `database`: DuckDB and pyarrow, asked for when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from simulacra.render.runtime.errors import MissingExtraError


def import_extra(name: str) -> Any:
    """A module of the extra.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            "the database of runs needs DuckDB and pyarrow",
            found=f"{name.partition('.')[0]} is not installed",
            remedy="pip install simulacra[database]",
        ) from error
