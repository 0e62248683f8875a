"""Which runs a sweep is of, and what it does about those that fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulacra.recon import pipeline
from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.render.runtime.errors import CaptureError, ConfigError
from simulacra.tools.cli import main
from simulacra.tools.commands.configurations import brought_configs
from simulacra.tools.comparison.sweep import SweptSetting, run_sweep, swept_settings


def swept(**options: str) -> list[SweptSetting]:
    return swept_settings(
        ReconstructionConfig,
        brought_configs()["smoke"],
        {k.replace("__", "."): v for k, v in options.items()},
    )


def test_values_are_combined_over_the_configuration() -> None:
    settings = swept(avatar__steps="60,120", avatar__weights__ssim="0.1, 0.2", evaluate__pictures="3")
    assert [setting.name for setting in settings] == [
        "avatar.steps=60,avatar.weights.ssim=0.1",
        "avatar.steps=60,avatar.weights.ssim=0.2",
        "avatar.steps=120,avatar.weights.ssim=0.1",
        "avatar.steps=120,avatar.weights.ssim=0.2",
    ]
    last = settings[-1].config
    assert (last.avatar.steps, last.avatar.weights.ssim, last.evaluate.pictures) == (120, 0.2, 3)
    # As in the file.
    assert last.avatar.count == 3000


def test_a_list_is_one_value_and_lists_are_set_apart_by_semicolons() -> None:
    settings = swept(views__held_out_cameras="3,6;1", avatar__steps="60")
    assert [setting.config.views.held_out_cameras for setting in settings] == [("3", "6"), ("1",)]
    assert [setting.name for setting in settings] == [
        "views.held_out_cameras=3,6",
        "views.held_out_cameras=1",
    ]
    with pytest.raises(ConfigError, match="nothing is varied"):
        swept(views__held_out_cameras="3,6")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"avatar__steps": "60,sixty"}, "wrong value"),
        ({"avatar__stepz": "60,120"}, "no configuration key"),
        ({"avatar__steps": ",".join(map(str, range(1, 300)))}, "more combinations"),
        ({}, "nothing is varied"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_is_computed(
    options: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        swept(**options)


def test_names_of_runs_are_names_of_folders() -> None:
    names = [
        setting.name
        for setting in swept(evaluate__references="[];[{metric: psnr_fg, value: 1, source: ../a}]")
    ]
    assert len(set(names)) == 2 and not any("/" in name or name.startswith(".") for name in names)


def test_one_that_fails_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, tuple[str, ...]]] = []

    def stand_in(
        session: Path, config: Any, out: Path, name: str, *, siblings: tuple[Path, ...], parts: Path
    ) -> None:
        assert parts.parent == out.parent and parts.name.startswith(".")
        done.append((out.name, tuple(path.name for path in siblings)))
        if config.avatar.steps == 2:
            raise CaptureError("nobody is in view")
        out.mkdir(parents=True)

    def around(setting: SweptSetting, folder: Path, work: Callable[[], None]) -> None:
        work()

    monkeypatch.setattr(pipeline, "reconstruct", stand_in)
    settings = swept(avatar__steps="1,2,3")
    with pytest.raises(CaptureError, match="nobody"):
        run_sweep(tmp_path / "session", settings, tmp_path / "out", "smoke", around)
    one, two, three = (setting.name for setting in settings)
    assert done == [(one, ()), (two, (one,)), (three, (one,))]


def test_a_sweep_needs_a_place_and_a_session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = tmp_path / "session"
    words = ["sweep", str(session), "--config", "smoke", "--avatar.steps", "1,2"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2 and "session" in capsys.readouterr().err
    session.mkdir()
    (session / "session.json").write_text("{}")
    assert main(words) == 2 and "--out SWEEP" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
