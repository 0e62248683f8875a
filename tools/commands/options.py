"""Every value of a configuration as an option, for help and completion.

The schemas stand beside the code that uses them, which takes seconds to load (PyTorch, kernels). Help and completion
have to answer at once, so that what they show is kept in `options.json`, which

    python -m simulacra.tools.commands.options

writes, and which a test holds to the schemas. Values are read by `recon.runs.configuration`, from the schemas
themselves.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from tyro.conf import arg

from .arguments import word_for
from .design import design_schema
from .reconstruct import reconstruction_schema
from .stage import stage_schema

# Commands that take options of a configuration, and of which.
CONFIGURED: dict[str, Callable[[], type]] = {
    "reconstruct": reconstruction_schema,
    "sweep": reconstruction_schema,
    "batch": reconstruction_schema,
    "stage": stage_schema,
    "design": design_schema,
}
# Those whose options are another's.
SAME = {"sweep": "reconstruct", "batch": "reconstruct"}
OPTIONS_FILE = "options.json"
# What a class of options is made of: its name and docstring, for each value the word for it and its default as YAML or
# the class of its own values, the classes whose values it has all, and whether it is absent unless it is asked for.
Description = dict[str, Any]


def describe_options(schema: type, default: object | None = None) -> Description:
    """Every value that a schema holds, with its help, its range in a word and its default.

    Args:
        schema: a dataclass of plain values and of dataclasses, or unions of these.
        default: an instance that is the default; the schema's own if None.
    """
    from simulacra.recon.runs.configuration import dump_config

    default = default or schema(**_kind(schema))
    plain = dump_config(default)
    hints = get_type_hints(schema, include_extras=True)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(schema):
        value, branches = getattr(default, field.name), _branches(hints[field.name])
        if not branches:
            shown = value if isinstance(value, str) else json.dumps(plain[field.name])
            values[field.name] = [word_for(hints[field.name]), shown]
            continue
        each = [describe_options(one, value if isinstance(value, one) else None) for one in branches]
        joined = each[0] if len(each) == 1 else _join(branches, each)
        values[field.name] = joined | {"absent": value is None}
    return {"name": schema.__name__, "doc": schema.__doc__, "values": values, "of": []}


def options_class(described: Description) -> type:
    """A dataclass for tyro of what `describe_options` says."""
    fields: list[tuple[str, Any, Any]] = []
    for name, value in described["values"].items():
        if isinstance(value, Mapping):
            inner = options_class(dict(value))
            fields.append((name, inner, dataclasses.field(default_factory=inner)))
        else:
            word, default = value
            fields.append((name, Annotated[str, arg(metavar=word)], dataclasses.field(default=default)))
    bases = tuple(options_class(base) for base in described["of"])
    doc = {} if described["doc"] is None else {"__doc__": described["doc"]}
    return dataclasses.make_dataclass(described["name"], fields, bases=bases, namespace=doc, kw_only=True)


def command_options(command: str) -> type:
    """A dataclass for tyro of all values of a command's configuration, loading nothing that it configures."""
    text = (resources.files(__package__) / OPTIONS_FILE).read_text("utf-8")
    return options_class(json.loads(text)[SAME.get(command, command)])


def documentation() -> str:
    """The text of options.json."""
    described = {name: describe_options(schema()) for name, schema in CONFIGURED.items() if name not in SAME}
    return json.dumps(described, indent=1) + "\n"


def _kind(schema: type) -> dict[str, object]:
    """What one of several schemas has to be told: its only value for the literal without a default."""
    hints = get_type_hints(schema)
    needed = [f.name for f in dataclasses.fields(schema) if f.default is f.default_factory]
    return {name: get_args(hints[name])[0] for name in needed}


def _branches(hint: Any) -> list[type]:
    """The dataclasses that a value can be, where it is one; those in lists are written as YAML."""
    if get_origin(hint) is Annotated:
        return _branches(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return [found for inner in get_args(hint) for found in _branches(inner)]
    return [hint] if isinstance(hint, type) and dataclasses.is_dataclass(hint) else []


def _join(schemas: list[type], options: list[Description]) -> Description:
    """One class with the values of all, and with every choice of the literal that tells them apart."""
    words: dict[str, dict[str, None]] = {}
    for schema in schemas:
        for name, hint in get_type_hints(schema).items():
            if get_origin(hint) is Literal:
                words.setdefault(name, {})[word_for(hint)] = None
    values = {name: ["|".join(choices), options[0]["values"][name][1]] for name, choices in words.items()}
    return {"name": options[0]["name"], "doc": None, "values": values, "of": options}


if __name__ == "__main__":
    (Path(__file__).parent / OPTIONS_FILE).write_text(documentation(), "utf-8")
