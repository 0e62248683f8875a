"""What trainings of several settings start from: computed once, and no bit of a result depends on that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from simulacra.recon.avatar import loop
from simulacra.recon.avatar import train as trainings
from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.settings import AvatarConfig, Densification, LearningRates, LossWeights
from simulacra.recon.avatar.start import start_settings
from simulacra.recon.avatar.train import train_avatar
from simulacra.recon.avatar.training import restore_checkpoint
from simulacra.recon.runs.lock import write_lock
from simulacra.recon.runs.parts import Parts
from simulacra.recon.runs.stages import digest_folder
from simulacra.recon.session import Session
from simulacra.render.body import load_body
from simulacra.render.runtime.errors import AssetError, RunError
from tests.recon.ellipsoid_person import synthetic_session

TRAINING = ("0", "1", "2")
ALIGNED = AvatarConfig(steps=4, align_steps=4, longest_side=64, count=800, lining=0, checkpoint_every=2)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return synthetic_session(tmp_path_factory.mktemp("capture") / "session", frames=2)


@pytest.fixture(scope="module")
def person() -> Person:
    try:
        body = load_body()
    except AssetError as error:
        pytest.skip(str(error))
    return Person(body, body.neutral_shape(), lambda frame, camera: body.zero_pose())


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long each training was that began, alignments too."""
    begun: list[int] = []

    def train(trainee: Any, views: Any, schedule: Any, *rest: Any) -> Any:
        begun.append(schedule.steps)
        return loop.train(trainee, views, schedule, *rest)

    monkeypatch.setattr(trainings, "train", train)
    return begun


def test_trainings_of_other_lengths_start_from_the_same_and_end_bit_for_bit_as_alone(
    session: Session, person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Corrected cameras, so that all that is kept is used; the alignment is as long as no multiple of checkpoints."""
    monkeypatch.setattr(trainings, "LEAST_CORRECTION", 0.0)
    begun = counted(monkeypatch)
    parts = Parts(tmp_path / "parts", {"fit": "digest"})

    def trained(name: str, settings: AvatarConfig, **kept: Any) -> Path:
        train_avatar(tmp_path / name, session, person, None, session.mask, (0, 1), TRAINING, settings, **kept)
        return tmp_path / name

    settings = replace(ALIGNED, align_steps=3)
    longer = replace(settings, steps=5, rates=LearningRates(sh=0.02))
    alone = [trained("alone4", settings), trained("alone5", longer)]
    assert begun == [3, 4, 3, 5]
    shared = [trained("shared4", settings, parts=parts), trained("shared5", longer, parts=parts)]
    assert begun[4:] == [3, 4, 5]
    for one, other in zip(alone, shared, strict=True):
        assert digest_folder(one) == digest_folder(other)
    assert digest_folder(alone[0]) != digest_folder(alone[1])


def test_a_stopped_alignment_goes_on_and_one_writer_is_at_a_time(
    session: Session, person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, steps = Parts(tmp_path / "parts", {}), []

    def stop(trainee: Any, views: Any, schedule: Any, folder: Path, group: str = "train") -> Any:
        found = restore_checkpoint(folder, torch.device("cpu"))
        steps.append(0 if found is None else found.step)
        done = loop.train(trainee, views, replace(schedule, steps=2), folder, group)
        assert done.step == 2
        raise InterruptedError

    common = (session, person, None, session.mask, (0, 1), TRAINING, ALIGNED)
    monkeypatch.setattr(trainings, "train", stop)
    for _ in range(2):
        with pytest.raises(InterruptedError):
            train_avatar(tmp_path / "one", *common, parts=parts)
    assert steps == [0, 2]
    with write_lock(parts.root), pytest.raises(RunError, match="writes"):
        train_avatar(tmp_path / "two", *common, parts=parts)


@pytest.mark.parametrize(
    ("changed", "alike"),
    [
        ({"steps": 9}, True),
        ({"checkpoint_every": 9}, True),
        ({"densify": Densification(every=10)}, True),
        ({"rates": LearningRates(means=1e-2)}, True),
        ({"rates": LearningRates(camera_poses=1e-2)}, False),
        ({"weights": LossWeights(ssim=0.3)}, False),
        ({"weights": LossWeights(ssim=0.3), "align_steps": 0}, False),
        ({"align_steps": 5}, False),
        ({"longest_side": 65}, False),
        ({"seed": 3}, False),
        ({"count": 900}, False),
    ],
)
def test_what_a_start_depends_on(changed: dict[str, Any], alike: bool) -> None:
    assert (start_settings(replace(ALIGNED, **changed)) == start_settings(ALIGNED)) == alike
    unaligned = replace(ALIGNED, align_steps=0)
    weighted = replace(unaligned, weights=LossWeights(ssim=0.3))
    assert start_settings(unaligned) == start_settings(weighted)
