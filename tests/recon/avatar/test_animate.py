"""A reconstructed person moved by a motion file: the clip has its frames and its size, and what is no run is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simulacra.recon.avatar.animate import camera_for, cameras_along, draw_motion, poses_of
from simulacra.recon.avatar.finished import FinishedAvatar, open_avatar
from simulacra.recon.avatar.record import TrainedResult, load_trained, save_trained
from simulacra.recon.export_run import Posed, write_splats
from simulacra.recon.fit.seen import gaussian_views
from simulacra.recon.motion import load_bvh
from simulacra.recon.runs.files import read_json, write_json
from simulacra.recon.runs.run_folder import RUN_FILE, STAGE_FILE
from simulacra.recon.runs.stages import digest_folder
from simulacra.recon.session.video import iter_video, probe_video, write_video
from simulacra.render.body import BodyModel, BodyPose
from simulacra.render.runtime.errors import InputError, RunError
from simulacra.tools.commands.animate import animate
from tests.recon.motion.planted import as_bvh, own_skeleton
from tests.recon.planted_run import planted_finished, write_planted_run


@pytest.fixture(scope="module")
def finished(body: BodyModel) -> FinishedAvatar:
    return planted_finished(body)


@pytest.fixture
def run(tmp_path: Path, finished: FinishedAvatar) -> Path:
    """The part of a finished run that is read to animate it."""
    return write_planted_run(tmp_path / "run", finished)


def swing(body: BodyModel, finished: FinishedAvatar, path: Path, frames: int = 4) -> Path:
    """A motion of the body's own skeleton that turns the person to the left, step by step."""
    bones = len(body.bone_names)
    rotations = np.zeros((frames, bones, 3))
    rotations[:, 0, 1] = np.linspace(0, 1.5, frames)
    path.write_text(as_bvh(own_skeleton(body, finished.rig.rest, rotations)))
    return path


def gradient_pictures(count: int, width: int, height: int) -> list[np.ndarray]:
    x = np.linspace(0, 1, width)[None, :, None]
    y = np.linspace(0, 1, height)[:, None, None]
    return [
        np.concatenate([x + 0 * y, y + 0 * x, np.full((height, width, 1), i / count)], -1).astype(np.float32)
        for i in range(count)
    ]


@pytest.mark.parametrize(("width", "height"), [(64, 48), (65, 49)])
def test_a_written_video_is_read_back(tmp_path: Path, width: int, height: int) -> None:
    pictures = gradient_pictures(7, width, height)
    path = tmp_path / "deeper" / "clip.mp4"
    write_video(path, iter(pictures), 25.0)
    facts = probe_video(path)
    assert (facts.frames, facts.width, facts.height) == (7, 64, 48)
    np.testing.assert_allclose(np.diff(facts.times), 1 / 25, atol=1e-4)
    for picture, read in zip(pictures, iter_video(path, range(7)), strict=True):
        # Blue tells frames apart, red and green that nothing is mirrored or turned; YUV and H.264 cost a little.
        assert np.abs(read / 255 - picture[:48, :64]).mean() < 0.04
    assert [found.name for found in path.parent.iterdir()] == ["clip.mp4"]


def test_a_video_that_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    def failing():  # type: ignore[no-untyped-def]
        yield np.zeros((32, 32, 3), np.float32)
        raise InputError("the motion ends here")

    with pytest.raises(InputError, match="ends here"):
        write_video(tmp_path / "clip.mp4", failing(), 30.0)
    assert not list(tmp_path.iterdir())


def test_a_video_cannot_be_written_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError):
        write_video(tmp_path / "file" / "clip.mp4", gradient_pictures(1, 32, 32), 30.0)


def test_the_camera_sees_the_whole_way(body: BodyModel, finished: FinishedAvatar) -> None:
    poses = body.zero_pose(5)
    poses = BodyPose(
        poses.rotations, torch.linspace(0, 2, 5)[:, None] * torch.tensor([1.0, 0, 0.3]), poses.expression
    )
    camera = camera_for(finished, poses, 64, 80)
    verts = body.pose(finished.rig.rest, poses).verts.flatten(0, 1)
    uv, depth = camera.project(verts)
    assert float(depth.min()) > 0.1
    assert bool((uv[0] >= 0).all())
    assert bool((uv[0] <= torch.tensor([64.0, 80.0])).all())
    assert float(uv[0, :, 0].max() - uv[0, :, 0].min()) > 0.5 * 64  # nor is it drawn tiny


def test_a_camera_goes_along_and_sees_the_whole_person(body: BodyModel, finished: FinishedAvatar) -> None:
    """Somebody walks ten metres: as large in every picture as when standing, and never out of it."""
    still, way = body.zero_pose(61), torch.linspace(0, 10, 61)[:, None] * torch.tensor([0.8, 0, 0.6])
    poses = BodyPose(still.rotations, way, still.expression)
    cameras = cameras_along(finished, poses, 30.0, 64, 80)
    verts = body.pose(finished.rig.rest, body.zero_pose()).verts[0]
    tall = []
    for index in range(0, 61, 10):
        uv, depth = cameras[index].project(verts + way[index])
        assert float(depth.min()) > 0.1
        assert bool((uv[0] >= 0).all()) and bool((uv[0] <= torch.tensor([64.0, 80.0])).all())
        tall.append(float(uv[0, :, 1].max() - uv[0, :, 1].min()))
    assert min(tall) > 0.6 * 80
    fixed, _ = camera_for(finished, poses, 64, 80).project(verts)
    assert float(fixed[0, :, 1].max() - fixed[0, :, 1].min()) < 0.5 * min(tall)


def test_pictures_follow_the_pose(body: BodyModel, finished: FinishedAvatar) -> None:
    poses = body.zero_pose(2)
    poses.translation[1, 0] = 0.8
    camera = camera_for(finished, poses, 64, 64)
    first, second = draw_motion(finished, poses, camera)
    assert first.shape == (64, 64, 3)
    backdrop = first[0, 0]

    def middle(picture: np.ndarray) -> float:
        return float(np.nonzero(np.abs(picture - backdrop).max(-1) > 0.1)[1].mean())

    uv, _ = camera.project(torch.tensor([[0.0, 0.9, 0.0], [0.8, 0.9, 0.0]]))
    assert middle(second) - middle(first) == pytest.approx(float(uv[0, 1, 0] - uv[0, 0, 0]), abs=2.0)


def test_a_motion_without_a_frame_is_named(body: BodyModel, finished: FinishedAvatar) -> None:
    camera = camera_for(finished, body.zero_pose(1), 32, 32)
    with pytest.raises(InputError, match="no frame"):
        next(draw_motion(finished, body.zero_pose(0), camera))


def test_a_run_is_opened_as_it_was_left(run: Path, finished: FinishedAvatar) -> None:
    opened = open_avatar(run)
    assert torch.equal(opened.avatar.gaussians.means, finished.avatar.gaussians.means)
    assert torch.equal(opened.fit.pose.rotations, finished.fit.pose.rotations)
    pose = finished.fit.pose_of(1)
    torch.testing.assert_close(opened.posed(pose).means, finished.posed(pose).means)


def test_what_no_camera_saw_comes_back_and_goes_into_exports(
    body: BodyModel, finished: FinishedAvatar, tmp_path: Path
) -> None:
    feet = torch.isin(
        body.part_labels, torch.tensor([body.part_names.index(f"foot_{side}") for side in "lr"])
    )
    seen = np.repeat(~feet.numpy()[None], 2, 0)
    counts = gaussian_views(body, finished.avatar.binding, seen)
    avatar = finished.avatar.replace(seen=counts)
    on_feet = feet[body.faces[avatar.binding.faces]].all(1)
    assert (counts[on_feet] == 0).all() and (counts[~on_feet] == 2).all()
    save_trained(tmp_path, TrainedResult(avatar=avatar))
    back = load_trained(tmp_path).avatar
    assert back is not None and back.seen is not None and torch.equal(back.seen, counts)
    opened = replace(finished, avatar=back, fit=replace(finished.fit, seen=seen))
    share = round(100 * float((counts > 0).double().mean()))
    remarks = {
        "seen": f"{share} % of the Gaussians hang where some camera saw the person",
        "never seen, a guess": "feet",
    }
    assert opened.remarks() == remarks and finished.remarks() == {}
    write_splats(tmp_path / "a.ply", opened, Posed(body.zero_pose(), (), 30.0), "ply")
    header = (tmp_path / "a.ply").read_bytes().partition(b"end_header")[0].decode("ascii")
    assert all(f"comment {name}: {said}\n" in header for name, said in remarks.items())


def test_counts_of_other_gaussians_are_refused(finished: FinishedAvatar, tmp_path: Path) -> None:
    few = finished.avatar.replace(seen=torch.zeros(3, dtype=torch.long))
    save_trained(tmp_path, TrainedResult(avatar=few))
    with pytest.raises(RunError, match="one count of cameras"):
        load_trained(tmp_path)


@pytest.mark.parametrize("missing", ["everything", RUN_FILE, f"avatar/{STAGE_FILE}"])
def test_what_is_no_finished_run_is_refused(run: Path, missing: str) -> None:
    if missing == "everything":
        run = run.parent / "nowhere"
    else:
        (run / missing).unlink()
    with pytest.raises(RunError, match="not the folder of a finished run"):
        open_avatar(run)


def test_free_gaussians_cannot_be_posed(run: Path, finished: FinishedAvatar) -> None:
    save_trained(run / "avatar", TrainedResult(free=finished.avatar.gaussians))
    with pytest.raises(RunError, match="content of the stage avatar"):
        open_avatar(run)
    stage = run / "avatar" / STAGE_FILE
    write_json(stage, read_json(stage) | {"digest": digest_folder(run / "avatar")})
    with pytest.raises(RunError, match="no avatar"):
        open_avatar(run)


@pytest.mark.parametrize("record", ["fit/fit.npz", "avatar/gaussians.npz"])
def test_a_record_with_one_other_byte_is_not_opened(run: Path, record: str) -> None:
    content = bytearray((run / record).read_bytes())
    content[len(content) // 2] ^= 1
    (run / record).write_bytes(content)
    with pytest.raises(RunError, match=f"content of the stage {record.split('/')[0]}"):
        open_avatar(run)


@pytest.mark.parametrize("left", ["", "[]", '{"schema"'])
def test_a_damaged_run_file_is_named(run: Path, left: str) -> None:
    (run / RUN_FILE).write_text(left)
    with pytest.raises(RunError, match=r"cannot be read[\s\S]*run\.json"):
        open_avatar(run)


def test_a_clip_of_a_motion_file(
    body: BodyModel,
    finished: FinishedAvatar,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simulacra.tools.commands.animate.WIDTH", 48)
    monkeypatch.setattr("simulacra.tools.commands.animate.HEIGHT", 64)
    motion = swing(body, finished, tmp_path / "swing.bvh")
    expected = len(poses_of(finished, load_bvh(motion), 30.0).translation)
    assert expected >= 4
    animate(run, motion, tmp_path / "clip.mp4")
    facts = probe_video(tmp_path / "clip.mp4")
    assert (facts.frames, facts.width, facts.height) == (expected, 48, 64)
    frames = list(iter_video(tmp_path / "clip.mp4", [0, expected - 1]))
    assert np.abs(frames[0].astype(float) - frames[1]).mean() > 2  # the person has turned


def test_a_clip_of_one_pose_is_held_and_what_was_read_is_said(
    body: BodyModel,
    finished: FinishedAvatar,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("simulacra.tools.commands.animate.WIDTH", 32)
    monkeypatch.setattr("simulacra.tools.commands.animate.HEIGHT", 32)
    motion = swing(body, finished, tmp_path / "pose.bvh", frames=1)
    animate(run, motion, tmp_path / "clip.mp4")
    assert probe_video(tmp_path / "clip.mp4").frames == 60
    said = capsys.readouterr().out
    assert "pose.bvh: 1 frame at 30 a second; 104 joints, MakeHuman's default rig; not used: " in said
    assert "60 pictures, 2.0 s, one pose" in said
    with pytest.raises(RunError, match=r"a video is written as \.mp4"):
        animate(run, motion, tmp_path / "clip.webm")
    animate(run, motion, tmp_path / "clip.gif")
    with Image.open(tmp_path / "clip.gif") as clip:  # pictures that are alike are one, for longer
        shown = 0
        for number in range(clip.n_frames):
            clip.seek(number)
            shown += clip.info["duration"]
        assert (shown, clip.size) == (2000, (256, 320))
    table = tmp_path / "names.toml"
    table.write_text('[joints]\nhead = "nobody"')
    with pytest.raises(InputError, match="a joint that the motion has not"):
        animate(run, motion, tmp_path / "clip.mp4", skeleton=table)
