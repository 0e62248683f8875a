"""Configurations are found by path or by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulacra.render.runtime.errors import ConfigError
from simulacra.tools.commands.configurations import brought_configs, config_file, config_name


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("")
    assert config_file(str(tmp_path / "mine.yaml")) == tmp_path / "mine.yaml"
    assert config_file(None) is None


@pytest.mark.parametrize("given", ["demo", "demo.yaml", "configs/demo.yaml"])
def test_a_brought_one_is_found_by_name_from_anywhere(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_file(given) == brought_configs()["demo"]


def test_it_is_called_by_its_name_or_its_files(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("")
    given = (None, "configs/demo.yaml", "baselines/depth_splats", str(tmp_path / "mine.yaml"))
    assert [config_name(name) for name in given] == ["", "demo", "baselines/depth_splats", "mine"]


def test_an_unknown_one_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match="baselines/depth_splats"):
        config_file("studio")


@pytest.mark.parametrize(
    ("given", "folder", "near", "not_of_it"),
    [("multiview", "", "multiview_video", "phones"), ("phone", "stage", "phones", "multiview_video")],
)
def test_an_unknown_one_gets_the_nearest_of_its_kind(
    given: str, folder: str, near: str, not_of_it: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config_file(given, folder)
    assert caught.value.remedy == f"perhaps {near}"
    assert not_of_it not in str(caught.value.expected)


def test_all_that_the_readme_names_are_brought() -> None:
    named = {
        "studio_rgbd",
        "multiview_video",
        "desk_face",
        "demo",
        "smoke",
        "baselines/depth_splats",
        "baselines/mesh_only",
        "baselines/free_splats",
        "baselines/body_only",
    }
    named |= {"portrait", "depth_camera", "one_camera"}
    assert named <= set(brought_configs())
