"""What of a run's configuration is its own: not as in the configuration that was named, or in the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulacra.recon.runs.changes import changed_values, default_values
from simulacra.recon.runs.configuration import dump_config, load_config
from simulacra.render.runtime.errors import ConfigError

from ..commands.configurations import brought_configs
from ..commands.plain_schema import plain_schema

DEFAULTS = "the defaults"


def changes_of(config_name: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """From what, and what: from the configuration that simulacra brings under the name, or from the defaults."""
    if not config:
        return DEFAULTS, {}
    brought, schema = brought_configs().get(config_name), plain_schema("reconstruct")
    try:
        if brought is not None:
            named = dump_config(load_config(schema, brought))
            return config_name, changed_values(config, named)
        return DEFAULTS, changed_values(config, default_values(schema, config))
    except ConfigError:  # of a kind that this version does not know
        return DEFAULTS, {}


def say_value(value: Any) -> str:
    """A setting's value as the command line takes it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list | tuple):
        return ",".join(map(say_value, value)) or "[]"
    return f"{value:g}" if isinstance(value, float) else str(value)
