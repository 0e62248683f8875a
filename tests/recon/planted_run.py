"""The part of a finished run that is read to show or export the person, of a planted avatar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulacra.recon.avatar.finished import FinishedAvatar
from simulacra.recon.avatar.record import TrainedResult, save_trained
from simulacra.recon.fit import save_fit
from simulacra.recon.runs.run_folder import open_run
from simulacra.recon.runs.stages import run_stage
from simulacra.render.avatar import rig_body
from simulacra.render.body import BodyModel
from tests.recon.planted_capture import planted_avatar, planted_fit


def planted_finished(body: BodyModel) -> FinishedAvatar:
    """As `open_avatar` would give it."""
    avatar = planted_avatar(body)
    return FinishedAvatar(
        avatar, body, rig_body(body, avatar.shape, avatar.binding), planted_fit(body, avatar)
    )


def write_planted_run(folder: Path, finished: FinishedAvatar) -> Path:
    """What `open_avatar` reads."""
    opened = open_run(folder, "abc")

    def keep(name: str, inputs: dict[str, str], save: Callable[[Path], None]) -> str:
        said: dict[str, Any] = {"version": 1, "config": {}, "inputs": inputs, "load": lambda _: None}
        return run_stage(opened, name, compute=save, **said)[1].digest

    fit = keep("fit", {}, lambda place: save_fit(finished.fit, place))
    keep("avatar", {"fit": fit}, lambda place: save_trained(place, TrainedResult(avatar=finished.avatar)))
    return folder
