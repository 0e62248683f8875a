"""Every configuration that simulacra brings is one, and says only what differs from the defaults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.runs.configuration import dump_config, format_config, load_config
from simulacra.tools.commands.configurations import brought_configs
from simulacra.tools.design.config import DesignConfig
from simulacra.tools.virtual.config import VirtualCaptureConfig

CONFIGS = brought_configs()
SCHEMAS = {"stage": VirtualCaptureConfig, "design": DesignConfig}


def schema_of(name: str) -> type:
    """What a file in this folder configures."""
    return SCHEMAS.get(name.split("/")[0], ReconstructionConfig)


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@pytest.mark.parametrize("name", CONFIGS)
def test_it_can_be_read_and_says_only_what_differs(name: str) -> None:
    schema = schema_of(name)
    read = load_config(schema, CONFIGS[name])
    defaults = dict(leaves(dump_config(schema())))
    said = dict(leaves(yaml.safe_load(CONFIGS[name].read_text())))
    resolved = dict(leaves(dump_config(read)))
    assert said
    for key, value in said.items():
        parts = isinstance(value, list) and any(isinstance(item, dict) for item in value)
        assert parts or resolved[key] == value
    if "avatar.kind" not in said:  # another branch has other defaults
        assert {key for key in said if key in defaults and defaults[key] == said[key]} == set()


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_run_keeps_describes_the_same_run(name: str, tmp_path: Any) -> None:
    schema = schema_of(name)
    read = load_config(schema, CONFIGS[name])
    (tmp_path / "config.yaml").write_text(format_config(read), "utf-8")
    assert load_config(schema, tmp_path / "config.yaml") == read


def test_the_studio_and_its_baseline_are_scored_on_the_same_views() -> None:
    studio, *baselines = (
        load_config(ReconstructionConfig, CONFIGS[name]).views
        for name in ("studio_rgbd", *(name for name in CONFIGS if name.startswith("baselines/")))
    )
    assert baselines == [studio] * 4
    assert studio.held_out_cameras == ("3", "6")
