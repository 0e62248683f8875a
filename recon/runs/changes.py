"""What of a configuration is not as something else has it: what a run is called by, and what a comparison is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulacra.recon.runs.configuration import dump_config, load_config


def flat_values(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value of nested settings by its dotted name; lists are values."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= flat_values(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def changed_values(tree: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not as in the base, by dotted name, in the order of the tree.

    Args:
        tree: settings, as run.json keeps them.
        base: others of the same kind; a setting that only one of the two has (of another version) does not count.
    """
    before = flat_values(base)
    return {n: value for n, value in flat_values(tree).items() if n in before and before[n] != value}


def default_values(schema: type, tree: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of a schema, of the same kinds (`avatar.kind`) as in the tree.

    Raises:
        ConfigError: there is no such kind.
    """
    kinds = {
        f"{name}.kind": str(part["kind"])
        for name, part in tree.items()
        if isinstance(part, Mapping) and "kind" in part
    }
    return dump_config(load_config(schema, None, kinds))
