"""The extra `database`: DuckDB and pyarrow, asked for when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from simulacra.render.runtime.errors import MissingExtraError


def import_extra(name: str) -> Any:
    """A module of the extra, of which both packages have to be there.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import duckdb  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "the database of runs needs DuckDB and pyarrow",
            found=f"{error.name} is not installed",
            remedy="pip install simulacra[database]",
        ) from error
    return importlib.import_module(name)
