"""Which device a training takes, and that on another than the CPU it takes no step on the CPU and finds the same.

On machines without a card a stand-in takes its place (see `stand_in_device`): plain torch throughout, and an error for
whatever a card would refuse. What gsplat draws is not tested here but in `tests/render/gaussians/test_cuda.py`.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simulacra.recon.avatar import device as devices
from simulacra.recon.avatar import loop
from simulacra.recon.avatar import train as stage
from simulacra.recon.avatar.device import choose_device, describe_device
from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.record import load_trained, trained_on
from simulacra.recon.avatar.settings import AvatarConfig, Densification, DepthSplatsConfig
from simulacra.recon.avatar.train import TrainedConfig, train_avatar
from simulacra.recon.avatar.training import Training
from simulacra.recon.avatar.views import ViewStore
from simulacra.recon.session import Session
from simulacra.render.body import load_body
from simulacra.render.gaussians.rasterize import choose_backend
from simulacra.render.runtime.errors import AssetError, ConfigError, MissingExtraError
from tests.recon.avatar.planted_gaussians import RECIPE, perturbed, run, scene, scheduled, stored_views
from tests.recon.avatar.stand_in_device import STAND_IN, stand_in_device
from tests.recon.ellipsoid_person import synthetic_session

# Split after the third step, written after the second.
SHORT = scheduled(RECIPE, steps=4, checkpoint_every=2)
CARD = torch.cuda.is_available() and importlib.util.find_spec("gsplat") is not None


def have(monkeypatch: pytest.MonkeyPatch, *, card: bool, gsplat: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: card)
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: object() if gsplat else None)


@pytest.mark.parametrize(
    ("setting", "card", "gsplat", "chosen"),
    [
        ("auto", True, True, "cuda"),
        ("auto", True, False, "cpu"),
        ("auto", False, True, "cpu"),
        ("cuda", True, True, "cuda"),
        ("cpu", True, True, "cpu"),
        ("cpu", False, False, "cpu"),
    ],
)
def test_the_device_that_a_setting_means(
    monkeypatch: pytest.MonkeyPatch, setting: Any, card: bool, gsplat: bool, chosen: str
) -> None:
    have(monkeypatch, card=card, gsplat=gsplat)
    assert choose_device(setting).type == chosen


@pytest.mark.parametrize(
    ("card", "gsplat", "error", "remedy"),
    [
        (False, True, ConfigError, "--avatar.device cpu"),
        (True, False, MissingExtraError, r"simulacra\[cuda\].*--avatar.device cpu"),
    ],
)
def test_a_card_that_is_asked_for_and_is_not_there(
    monkeypatch: pytest.MonkeyPatch, card: bool, gsplat: bool, error: type[Exception], remedy: str
) -> None:
    have(monkeypatch, card=card, gsplat=gsplat)
    with pytest.raises(error, match=remedy):
        choose_device("cuda")


def test_backends_follow_the_device() -> None:
    kinds = {"cpu": "cpu", "cuda:1": "cuda", "meta": "reference"}
    assert {name: choose_backend(torch.device(name)) for name in kinds} == kinds
    assert choose_backend(torch.device("cuda"), "reference") == "reference"
    assert describe_device(torch.device("cpu")) == {"device": "cpu", "backend": "cpu"}


def test_the_stand_in_refuses_what_a_card_refuses() -> None:
    """The control of all that follows."""
    with stand_in_device() as device:
        there = torch.arange(3.0).to(device)
        assert there.device == device
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()
        with pytest.raises(RuntimeError, match="numpy"):
            np.asarray(there)
        with pytest.raises(RuntimeError, match="some tensors are on the CPU"):
            there + torch.ones(3)
        assert (2 * there + torch.tensor(1.0)).cpu().tolist() == [1.0, 3.0, 5.0]
        assert there.new_tensor([4.0]).device == torch.zeros(1, device=device).device == device


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> ViewStore:
    return stored_views(tmp_path_factory.mktemp("planted") / "views", scene())


@pytest.fixture(params=["stand-in", pytest.param("cuda", marks=pytest.mark.gpu)])
def other(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """A device other than the CPU."""
    if request.param == "cuda":
        if not CARD:
            pytest.skip("no NVIDIA card with gsplat: training has not run on one here")
        yield torch.device("cuda")
        return
    with stand_in_device() as device:
        yield device


def assert_close(ours: Training, theirs: Training, tolerance: float) -> None:
    """To a part of the largest of each column and tensor."""
    for name, column in ours.losses.items():
        assert theirs.losses[name].device.type == "cpu"
        largest = float(column.abs().max())
        torch.testing.assert_close(theirs.losses[name], column, rtol=0, atol=tolerance * largest)
    for name, value in ours.tensors.items():
        largest, found = float(value.abs().max()), theirs.tensors[name].cpu()
        torch.testing.assert_close(found, value.cpu(), rtol=0, atol=tolerance * largest, msg=name)
    assert torch.equal(ours.state["origins"].cpu(), theirs.state["origins"].cpu())


def test_training_elsewhere_finds_what_the_cpu_finds(
    views: ViewStore, tmp_path: Path, other: torch.device
) -> None:
    """1e-4 of the largest after four steps, splits included: float32 in another order of sums, of which Adam makes
    more where gradients are tiny (4e-6 was measured on the stand-in). A card's rasterizer has fast exponentials: 1e-2.
    """
    here = run(views, tmp_path / "here", SHORT)
    there = run(views, tmp_path / "there", SHORT, perturbed().to(other))
    assert len(here.state["origins"]) > len(perturbed())
    assert {value.device.type for value in there.tensors.values()} == {other.type}
    assert_close(here, there, 1e-2 if other.type == "cuda" else 1e-4)


def test_killed_elsewhere_and_continued(
    views: ViewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint that was written there is read there; what lies on the disk is of no device."""
    whole = loop.step

    def until(training: Training, *rest: Any) -> Training:
        if training.step == 3:
            raise KeyboardInterrupt
        return whole(training, *rest)

    with stand_in_device() as device:
        first = run(views, tmp_path / "whole", SHORT, perturbed().to(device))
        monkeypatch.setattr(loop, "step", until)
        with pytest.raises(KeyboardInterrupt):
            run(views, tmp_path / "killed", SHORT, perturbed().to(device))
        monkeypatch.undo()
        continued = run(views, tmp_path / "killed", SHORT, perturbed().to(device))
    assert_close(first, continued, 0.0)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return synthetic_session(tmp_path_factory.mktemp("capture") / "session", frames=2)


AVATAR = AvatarConfig(
    steps=4,
    align_steps=2,
    longest_side=48,
    count=300,
    lining=0,
    checkpoint_every=2,
    densify=Densification(every=2, share=0.1, until=1.0),
)
BASELINE = DepthSplatsConfig(
    kind="depth_splats", steps=4, longest_side=48, grid_mm=60.0, least_points=2, checkpoint_every=2
)


@pytest.mark.parametrize("settings", [AVATAR, BASELINE], ids=["avatar", "baseline"])
def test_a_stage_that_trained_elsewhere_leaves_records_for_everyone(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: TrainedConfig
) -> None:
    """From the session to the record, body and all: the same Gaussians as on the CPU, and the record says where."""
    try:
        body = load_body()
    except AssetError as error:
        pytest.skip(str(error))
    person = Person(body, body.neutral_shape(), lambda frame, camera: body.zero_pose())

    def mask_of(frame: int, camera: str) -> np.ndarray | None:
        return session.mask(frame, camera)

    folders = tmp_path / "here", tmp_path / "there"
    common = (session, person, None, mask_of, (0, 1), ("0", "1", "2"))
    train_avatar(folders[0], *common, replace(settings, device="cpu"))
    with stand_in_device() as device:
        monkeypatch.setattr(stage, "choose_device", lambda setting: device)
        train_avatar(folders[1], *common, settings)
    assert trained_on(folders[0]) == {"device": "cpu", "backend": "cpu"}
    assert trained_on(folders[1]) == {"device": STAND_IN.type, "backend": "reference"}
    here, there = (load_trained(folder) for folder in folders)
    ours, theirs = ((r.free or r.avatar.gaussians) for r in (here, there))  # type: ignore[union-attr]
    for name, value in vars(ours).items():
        if name == "quats" and settings is BASELINE:
            continue  # of round Gaussians: their gradient is rounding, of which Adam makes whole steps
        # As above: 1e-4 of the largest.
        torch.testing.assert_close(getattr(theirs, name), value, rtol=0, atol=1e-4 * float(value.abs().max()))
    accounts = [json.loads((folder / "training.json").read_text("utf-8")) for folder in folders]
    assert accounts[0]["gaussians"] == accounts[1]["gaussians"] == len(ours)
    assert len(ours) > AVATAR.count
