"""Windows of the photographs: what they hold, whose camera they have, and which photographs are never opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.avatar import train as trainings
from simulacra.recon.avatar.baseline import fused_gaussians
from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.record import ACCOUNT, load_trained
from simulacra.recon.avatar.settings import AvatarConfig, DepthSplatsConfig
from simulacra.recon.avatar.train import train_avatar
from simulacra.recon.avatar.views import MaskOf, store_views
from simulacra.recon.runs.files import read_json
from simulacra.recon.session import Session
from simulacra.render.body import load_body
from simulacra.render.camera import Cameras
from simulacra.render.runtime.errors import AssetError, CaptureError
from tests.recon.ellipsoid_person import SIZE, synthetic_session

HELD_OUT = "3"
TRAINING = ("0", "1", "2")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return synthetic_session(tmp_path_factory.mktemp("capture") / "session", frames=2)


def masks_of(session: Session) -> MaskOf:
    return lambda frame, camera: session.mask(frame, camera)


class Poisoned(Session):
    """A session one of whose cameras must not be looked at."""

    def _permit(self, camera: str) -> None:
        assert camera != HELD_OUT, "a held-out camera was opened"

    def camera(self, name: str):  # type: ignore[no-untyped-def]
        self._permit(name)
        return super().camera(name)

    def cameras_as_tensors(self, name: str) -> Cameras:
        self._permit(name)
        return super().cameras_as_tensors(name)

    def image(self, frame_index: int, camera: str) -> np.ndarray:
        self._permit(camera)
        return super().image(frame_index, camera)

    def mask(self, frame_index: int, camera: str) -> np.ndarray | None:
        self._permit(camera)
        return super().mask(frame_index, camera)

    def depth(self, frame_index: int, camera: str) -> tuple[np.ndarray, np.ndarray] | None:
        self._permit(camera)
        return super().depth(frame_index, camera)

    def iter_images(self, camera: str, frame_indices: Sequence[int]) -> Iterator[np.ndarray]:
        self._permit(camera)
        return super().iter_images(camera, frame_indices)


def poisoned(session: Session) -> Poisoned:
    return Poisoned(**{name: getattr(session, name) for name in session.__dataclass_fields__})


@pytest.mark.parametrize("longest_side", [SIZE, SIZE // 2])
def test_a_windows_camera_sees_what_the_whole_camera_sees(
    session: Session, tmp_path: Path, longest_side: int
) -> None:
    store = store_views(tmp_path / "views", session, masks_of(session), (0, 1), TRAINING, longest_side)
    assert store.views == tuple((frame, camera) for camera in TRAINING for frame in (0, 1))
    scale = longest_side / SIZE
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([-0.5, 0.5, -0.5])
    for index, (frame, camera) in enumerate(store.views):
        view = store.load(index)
        assert (view.frame, view.camera) == (frame, camera)
        assert view.rgb.shape[:2] == view.mask.shape == (view.cameras.height, view.cameras.width)
        full_uv, full_z = session.cameras_as_tensors(camera).project(points)
        uv, z = view.cameras.project(points)
        shift = (full_uv * scale - uv)[0]
        torch.testing.assert_close(z, full_z)
        torch.testing.assert_close(shift, shift[:1].round().expand_as(shift), atol=1e-3, rtol=0)
        # The pixels are the photograph's own at that shift, black beside the person.
        x0, y0 = (int(value) for value in shift[0].round())
        mask = session.mask(frame, camera)
        assert mask is not None
        if longest_side == SIZE:
            image = session.image(frame, camera) * mask[..., None]
            window = np.s_[y0 : y0 + view.cameras.height, x0 : x0 + view.cameras.width]
            np.testing.assert_allclose(view.rgb.numpy(), image[window], atol=0.6 / 255)
            np.testing.assert_allclose(view.mask.numpy(), mask[window], atol=0.6 / 255)
        assert float(view.mask.sum()) == pytest.approx(float(mask.sum()) * scale**2, rel=0.02)
        assert not view.rgb[view.mask == 0].any()
        assert view.depth is not None
        assert view.measured is not None
        assert not view.measured[view.mask == 0].any()


def test_a_halved_view_shows_the_same_with_a_quarter_of_the_pixels(session: Session, tmp_path: Path) -> None:
    store = store_views(tmp_path / "views", session, masks_of(session), (0,), TRAINING, SIZE)
    whole, half = store.load(0), replace(store, halved=True).load(0)
    assert half.rgb.shape[:2] == (whole.rgb.shape[0] // 2, whole.rgb.shape[1] // 2)
    assert (half.cameras.height, half.cameras.width) == half.mask.shape
    assert float(half.mask.sum()) == pytest.approx(float(whole.mask.sum()) / 4, rel=0.02)
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([-0.5, 0.5, -0.5])
    size = torch.tensor(
        [half.cameras.width / whole.cameras.width, half.cameras.height / whole.cameras.height]
    )
    torch.testing.assert_close(half.cameras.project(points)[0], whole.cameras.project(points)[0] * size)
    # Depth is not mixed across edges: every value is one that was measured.
    assert half.depth is not None and whole.depth is not None and half.measured is not None
    assert torch.isin(half.depth[half.measured], whole.depth).all()


def test_depth_in_a_window_is_where_the_person_is(session: Session, tmp_path: Path) -> None:
    store = store_views(tmp_path / "views", session, masks_of(session), (0,), ("0",), SIZE)
    view = store.load(0)
    assert view.depth is not None
    assert view.measured is not None
    points = view.cameras.unproject(view.depth[None])[0][view.measured]
    assert float(points[:, 1].min()) > -0.02
    assert float(points[:, 1].max()) < 1.72
    assert float(points[:, [0, 2]].abs().max()) < 0.36


def test_views_without_a_person_are_counted_and_train_nothing(session: Session, tmp_path: Path) -> None:
    def mask_of(frame: int, camera: str) -> np.ndarray | None:
        mask = session.mask(frame, camera)
        if camera == "1":
            return None
        return None if mask is None else mask * float((frame, camera) != (1, "0"))

    store = store_views(tmp_path / "views", session, mask_of, (0, 1), TRAINING, SIZE)
    assert store.empty == ((1, "0"), (0, "1"), (1, "1"))
    assert store.views == ((0, "0"), (0, "2"), (1, "2"))
    again = store_views(tmp_path / "views", session, mask_of, (0, 1), TRAINING, SIZE)
    assert again == store


def test_windows_that_are_there_are_not_made_again(session: Session, tmp_path: Path) -> None:
    first = store_views(tmp_path / "views", session, masks_of(session), (0,), TRAINING, SIZE)

    def unasked(frame: int, camera: str) -> np.ndarray | None:
        raise AssertionError("made again")

    assert store_views(tmp_path / "views", session, unasked, (0,), TRAINING, SIZE) == first


def test_nobody_in_any_view_is_a_mistake_that_is_named(session: Session, tmp_path: Path) -> None:
    nobody: Callable[[int, str], np.ndarray | None] = lambda frame, camera: None  # noqa: E731
    with pytest.raises(CaptureError, match="none of the training views"):
        train_avatar(
            tmp_path, session, None, None, nobody, (0,), TRAINING, DepthSplatsConfig(kind="depth_splats")
        )


BASELINE = DepthSplatsConfig(kind="depth_splats", steps=6, longest_side=64, grid_mm=30.0, least_points=2)


def test_the_baseline_lies_on_the_person_and_never_opens_a_held_out_camera(
    session: Session, tmp_path: Path
) -> None:
    guarded = poisoned(session)
    with pytest.raises(AssertionError, match="held-out"):
        guarded.image(0, HELD_OUT)
    initial = fused_gaussians(guarded, 0, TRAINING, masks_of(guarded), BASELINE)
    assert len(initial) > 100
    assert float(initial.means[:, 1].min()) > -0.05
    assert float(initial.means[:, 1].max()) < 1.75
    result = train_avatar(tmp_path, guarded, None, None, masks_of(guarded), (0, 1), TRAINING, BASELINE)
    assert result.avatar is None
    assert result.free is not None
    assert len(result.free) == len(initial)
    stored = load_trained(tmp_path).free
    assert stored is not None
    assert torch.equal(stored.sh, result.free.sh)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gaussians.npz",
        "losses.npz",
        "training.json",
    ]


ALIGNED = AvatarConfig(steps=4, align_steps=4, longest_side=64, count=800, lining=0, checkpoint_every=2)


@pytest.fixture
def person() -> Person:
    try:
        body = load_body()
    except AssetError as error:
        pytest.skip(str(error))
    return Person(body, body.neutral_shape(), lambda frame, camera: body.zero_pose())


def test_an_avatar_never_opens_a_held_out_camera(session: Session, person: Person, tmp_path: Path) -> None:
    guarded = poisoned(session)
    result = train_avatar(tmp_path, guarded, person, None, masks_of(guarded), (0, 1), TRAINING, ALIGNED)
    assert result.avatar is not None
    assert len(result.avatar.binding) == len(result.avatar.gaussians)


@pytest.mark.parametrize(("least", "taken"), [(0.0, True), (1.0, False)])
def test_corrections_of_cameras_are_taken_if_they_are_large(
    session: Session,
    person: Person,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    least: float,
    taken: bool,
) -> None:
    monkeypatch.setattr(trainings, "LEAST_CORRECTION", least)
    colored: list[dict[str, Cameras]] = []
    monkeypatch.setattr(trainings, "recolor", lambda avatar, *rest: colored.append(rest[-1]) or avatar)
    train_avatar(tmp_path, session, person, None, masks_of(session), (0, 1), TRAINING, ALIGNED)
    account = read_json(tmp_path / ACCOUNT)
    assert np.any(account["camera_turns_deg"]) == np.any(account["camera_moves_mm"]) == taken
    assert np.any(account["camera_shifts"])  # colors are matched either way
    # Colored anew by cameras that stand where the corrections have them.
    assert len(colored) == taken
    for name, camera in (colored[0] if taken else {}).items():
        assert not torch.equal(camera.viewmats, session.cameras_as_tensors(name).viewmats)
