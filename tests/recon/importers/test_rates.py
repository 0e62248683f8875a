"""A capture's rate: out of its files, or said with --fps, or assumed with a note; never silently."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from simulacra.recon.importers.opencv_yaml import import_opencv_yaml
from simulacra.recon.importers.options import (
    OpencvYamlOptions,
    Pose2simOptions,
    QualisysOptions,
    RgbdRigOptions,
)
from simulacra.recon.importers.pose2sim import import_pose2sim
from simulacra.recon.importers.qualisys import import_qualisys
from simulacra.recon.importers.rgbd_rig import import_rgbd_rig
from simulacra.recon.session import Session
from simulacra.recon.session.times import frame_seconds
from simulacra.recon.session.video import probe_video
from simulacra.render.runtime.errors import ConfigError, InputError
from tests.recon.ellipsoid_person import DEPTH_SCALE, write_qualisys, write_rgbd_rig, write_trc
from tests.recon.importers.foreign_captures import write_easymocap, write_pose2sim

FRAMES = 6


def bare(video: Path) -> None:
    """Takes the container, and with it all time stamps, off a video: what some cameras write."""
    raw = video.with_suffix(".h264")
    with av.open(str(video)) as source, av.open(str(raw), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    raw.rename(video)


def as_avi(video: Path, rate: int) -> Path:
    """The same as an AVI with B frames, whose stamps do not rise: what many webcams' programs write."""
    with av.open(str(video)) as source:
        pictures = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    with av.open(str(video.with_suffix(".avi")), "w") as target:
        stream = target.add_stream("libx264", rate=rate, options={"bf": "2"})
        stream.height, stream.width = pictures[0].shape[:2]
        for picture in [*(av.VideoFrame.from_ndarray(one) for one in pictures), None]:
            target.mux(stream.encode(picture))
    video.unlink()
    return video.with_suffix(".avi")


def easymocap(src: Path, session: Path, fps: float | None) -> Session:
    write_easymocap(src, frames=FRAMES)
    return import_opencv_yaml(src, session, OpencvYamlOptions(units="m", world_up="+z", fps=fps))


def pose2sim(src: Path, session: Path, fps: float | None) -> Session:
    write_pose2sim(src, frames=FRAMES)
    for video in sorted((src / "videos").iterdir()):
        bare(video)
    return import_pose2sim(src, session, Pose2simOptions(fps=fps))


def qualisys(src: Path, session: Path, fps: float | None) -> Session:
    write_qualisys(src, frames=FRAMES)
    for video in sorted((src / "videos").iterdir()):
        bare(video)
    return import_qualisys(src, session, QualisysOptions(fps=fps))


def rgbd_rig(src: Path, session: Path, fps: float | None) -> Session:
    write_rgbd_rig(src, cameras=3, frames=[f"FRAME{k}" for k in range(FRAMES)], size=64)
    return import_rgbd_rig(src, session, RgbdRigOptions(depth_scale=DEPTH_SCALE, fps=fps))


@pytest.mark.parametrize("importing", [easymocap, pose2sim, qualisys, rgbd_rig])
def test_sixty_pictures_a_second_without_stamps(
    importing: Callable[[Path, Path, float | None], Session], tmp_path: Path
) -> None:
    said = importing(tmp_path / "a", tmp_path / "said", 60.0)
    times = [{source.time for source in frame.sources.values()} for frame in said.frames]
    assert times == [{k / 60} for k in range(FRAMES)]
    np.testing.assert_allclose(frame_seconds(said.frames)[0], np.arange(FRAMES) / 60)
    assert not [note for note in said.notes if "time" in note] and said.about["arguments"]["fps"] == 60

    silent = importing(tmp_path / "b", tmp_path / "silent", None)
    assert {source.time for frame in silent.frames for source in frame.sources.values()} == {None}
    np.testing.assert_allclose(frame_seconds(silent.frames)[0], np.arange(FRAMES) / 30)
    counted, assumed = silent.notes[-2:]
    assert counted.startswith("18 of 18 pictures carry no time")
    assert assumed.startswith("times are missing: 30 pictures a second are assumed") and "--fps" in assumed


def test_a_rate_besides_stamps_is_refused_and_theirs_is_named(tmp_path: Path) -> None:
    write_pose2sim(tmp_path / "src", frames=FRAMES)
    with pytest.raises(InputError, match=r"--fps 60, and times of 30\.00 pictures") as caught:
        import_pose2sim(tmp_path / "src", tmp_path / "session", Pose2simOptions(fps=60.0))
    assert "leave --fps away" in str(caught.value) and not (tmp_path / "session").exists()
    timed = import_pose2sim(tmp_path / "src", tmp_path / "session", Pose2simOptions())
    assert not [note for note in timed.notes if "time" in note]


def test_one_video_without_stamps_is_counted_and_takes_the_others_times(tmp_path: Path) -> None:
    write_pose2sim(tmp_path / "src", frames=FRAMES)
    video = sorted((tmp_path / "src/videos").iterdir())[1]
    bare(video)
    assert probe_video(video).times == (None,) * FRAMES
    session = import_pose2sim(tmp_path / "src", tmp_path / "session", Pose2simOptions())
    assert session.notes[-1] == "6 of 18 pictures carry no time: of cam_02"
    assert frame_seconds(session.frames)[1] is None


def test_videos_without_stamps_that_rise_have_the_rate_of_their_headers(tmp_path: Path) -> None:
    write_pose2sim(tmp_path / "src", frames=FRAMES)
    for video in sorted((tmp_path / "src/videos").iterdir()):
        assert probe_video(as_avi(video, 60)).stated_rate == 60
    session = import_pose2sim(tmp_path / "src", tmp_path / "session", Pose2simOptions())
    np.testing.assert_allclose(frame_seconds(session.frames)[0], np.arange(FRAMES) / 60)
    assert sum("60.00 pictures a second by its header" in note for note in session.notes) == 3
    assert not [note for note in session.notes if "assumed" in note]
    # Headers of some programs are wrong: who knows better is believed.
    told = import_pose2sim(tmp_path / "src", tmp_path / "told", Pose2simOptions(fps=15.0))
    np.testing.assert_allclose(frame_seconds(told.frames)[0], np.arange(FRAMES) / 15)


@pytest.mark.parametrize(("transfer", "said"), [(1, ""), (16, "PQ"), (18, "HLG")])
def test_the_transfer_function_of_a_video_is_read(transfer: int, said: str, tmp_path: Path) -> None:
    """By the numbers of ITU-T H.273; 1 is BT.709's."""
    with av.open(str(tmp_path / "a.mp4"), "w") as target:
        stream = target.add_stream("libx264", rate=30)
        stream.width = stream.height = 32
        stream.codec_context.color_trc = transfer
        for picture in (av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8)), None):
            target.mux(stream.encode(picture))
    assert probe_video(tmp_path / "a.mp4").hdr == said


@pytest.mark.parametrize("fps", [0.0, -30.0, float("inf"), float("nan")])
def test_what_is_no_rate_is_refused(tmp_path: Path, fps: float) -> None:
    with pytest.raises(ConfigError, match=r"0\.01\.\.10000 \(rate\)"):
        easymocap(tmp_path / "src", tmp_path / "session", fps)


def test_one_moment_has_nothing_to_say(tmp_path: Path) -> None:
    write_rgbd_rig(tmp_path / "src", cameras=3, size=64)
    one = import_rgbd_rig(tmp_path / "src", tmp_path / "session", RgbdRigOptions(depth_scale=DEPTH_SCALE))
    assert not [note for note in one.notes if "time" in note or "fps" in note]


def test_a_reference_needs_times_to_be_matched_by(tmp_path: Path) -> None:
    write_trc(tmp_path / "joints.trc", ["a"], [0.0, 0.1], np.zeros((2, 1, 3)))
    src = tmp_path / "src"
    write_qualisys(src, frames=FRAMES)
    for video in sorted((src / "videos").iterdir()):
        bare(video)
    with pytest.raises(InputError, match=r"matched by times[\s\S]*--fps"):
        import_qualisys(src, tmp_path / "a", QualisysOptions(reference=tmp_path / "joints.trc"))
    told = QualisysOptions(reference=tmp_path / "joints.trc", fps=60.0)
    found = import_qualisys(src, tmp_path / "b", told).reference_joints()
    # The second, 0.1 s, is picture 6 at 60 a second, and there are five more than the first.
    assert found is not None and found[1] == (0,)
