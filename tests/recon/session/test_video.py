"""Frames of a video by number; damage is said, not decoded around."""

import gc
import io
from contextlib import nullcontext
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import simulacra.recon.session.video as video_module
from simulacra.recon.session.video import iter_video, probe_video, read_video_frame, write_gif
from simulacra.render.runtime.errors import InputError
from tests.recon.ellipsoid_person import SIZE, frame_number, picture, ring, write_video

COUNT = 30


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    camera = ring(1)[0]
    images = [picture(camera, frame)[0] for frame in range(COUNT)]
    write_video(path, images, movflags="faststart")
    return path


def test_facts_are_of_the_frames(video: Path) -> None:
    facts = probe_video(video)
    assert (facts.frames, facts.width, facts.height) == (COUNT, SIZE, SIZE)
    np.testing.assert_allclose(np.diff(facts.times), 1 / 30, atol=1e-3)


def test_any_frame_is_the_one_asked_for(video: Path) -> None:
    assert [frame_number(frame / 255) for frame in iter_video(video, range(COUNT))] == list(range(COUNT))
    for number in (29, 0, 8, 7, 15, 16):
        frame = read_video_frame(video, number)
        assert frame_number(frame / 255) == number
        assert np.array_equal(frame, next(iter_video(video, [number])))


def test_a_video_without_honest_times_is_still_read_by_number(tmp_path: Path, video: Path) -> None:
    """Times that do not follow a constant rate: numbers count frames, not seconds."""
    path = tmp_path / "uneven.mkv"
    with av.open(str(video)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        out = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            stretch = 3 * max(0, packet.pts - 10 * 512)
            packet.pts, packet.dts = packet.pts + stretch, packet.dts + 3 * max(0, packet.dts - 10 * 512)
            packet.stream = out
            target.mux(packet)
    numbers = [frame_number(read_video_frame(path, k) / 255) for k in (3, 12, 25)]
    assert numbers == [3, 12, 25]


class StopsWhenUsed(io.BytesIO):
    """A file in the middle of whose work Ctrl-C comes."""

    def write(self, _: object) -> int:
        raise KeyboardInterrupt

    def seek(self, *_: int) -> int:
        raise KeyboardInterrupt


def test_a_clip_that_is_stopped_while_it_is_written_is_not_taken_for_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_module, "whole_file", lambda _: nullcontext(StopsWhenUsed()))
    with pytest.raises(KeyboardInterrupt):
        video_module.write_video(tmp_path / "clip.mp4", [np.zeros((32, 32, 3), np.float32)] * 3, 30.0)


def test_frames_are_let_go_of_without_the_garbage_collector(video: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        most = max(
            sum(type(o) is av.VideoFrame for o in gc.get_objects()) for _ in iter_video(video, range(COUNT))
        )
    finally:
        gc.enable()
    assert most < COUNT // 2  # a decoder gives several at once at the end of a stream; kept ones would be all


def test_a_frame_that_is_not_there(video: Path) -> None:
    with pytest.raises(InputError, match="ends before"):
        read_video_frame(video, COUNT)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.998])
def test_a_truncated_video_is_refused(video: Path, tmp_path: Path, share: float) -> None:
    content = video.read_bytes()
    assert content.find(b"moov") < content.find(b"mdat"), (
        "the header comes first, as in videos that decode when cut"
    )
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"cut\.mp4"):
        probe_video(cut)


@pytest.mark.parametrize("content", [None, b"", b"text" * 100, b"\x00" * 5000])
def test_what_is_no_video(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"clip\.mp4"):
        probe_video(path)


def test_noise_in_the_middle_is_damage(video: Path, tmp_path: Path) -> None:
    content = bytearray(video.read_bytes())
    start = content.find(b"mdat") + 4
    middle = start + (len(content) - start) // 2
    content[middle : middle + 400] = np.random.default_rng(0).integers(0, 256, 400, np.uint8).tobytes()
    path = tmp_path / "noise.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"noise\.mp4"):
        probe_video(path)


def test_a_gif_has_every_picture_at_its_rate_and_repeats(tmp_path: Path) -> None:
    shades = np.linspace(0.1, 0.9, 12)
    write_gif(tmp_path / "clip.gif", (np.full((20, 31, 3), [s, 0.5, 1 - s]) for s in shades), 20.0)
    with Image.open(tmp_path / "clip.gif") as clip:
        assert (clip.n_frames, clip.size, clip.info["loop"]) == (12, (31, 20), 0)
        for number, shade in enumerate(shades):
            clip.seek(number)
            assert clip.info["duration"] == 50
            seen = np.asarray(clip.convert("RGB"), float)[10, 15] / 255
            np.testing.assert_allclose(seen, [shade, 0.5, 1 - shade], atol=0.03)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.gif"]
