"""Any frame of any video: by number, by time and by going through it is the same one, and the right one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from simulacra.recon.importers.chosen_frames import shown_frames
from simulacra.recon.session import video as video_module
from simulacra.recon.session.frame_table import frame_table
from simulacra.recon.session.video import (
    decode_video,
    iter_video,
    iter_video_near,
    probe_video,
    read_video_frame,
    read_video_frame_at,
)
from simulacra.render.runtime.errors import InputError
from tests.recon.session.numbered_videos import (
    edit_list,
    number_of,
    remux,
    write_numbered,
)

COUNT = 40
EVEN = [33 * k for k in range(COUNT)]
# A camera that is late by up to 13 of 33 ms, and one that drops half a second now and then.
LATE = [33 * k + late for k, late in enumerate(np.random.default_rng(0).integers(0, 14, COUNT).tolist())]
GAPS = [33 * k + 500 * (k // 11) for k in range(COUNT)]
CLOSED = {"g": "12", "bf": "3", "crf": "12", "preset": "veryfast"}
OPEN = {
    "preset": "veryfast",
    "x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0",
}
OPEN_HEVC = {
    "preset": "ultrafast",
    "x265-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:log-level=0:pools=none",
}
REFRESH = {"x264-params": "intra-refresh=1:keyint=12:crf=12", "preset": "veryfast"}
# The stamps' unit of an MP4 file that is written below, in a second, and where its first frame lies in the medium.
MEDIA_TICKS, MEDIA_START = 16000, 1056


def ticks(frame: float) -> int:
    return MEDIA_START + round(frame * 0.033 * MEDIA_TICKS)


def second_gop(source: Path, target: Path, before: int = 0) -> None:
    """Cuts off what comes before the second key frame, but for so many packets."""
    with av.open(str(source)) as container:
        key = [place for place, packet in enumerate(container.demux(video=0)) if packet.is_keyframe][1]
    remux(source, target, lambda _, place: place >= key - before)


def plain(name: str, stamps: list[int], **how: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write_numbered(folder / name, stamps, **how)  # type: ignore[arg-type]
        return folder / name

    return make


def cut(name: str, before: int, **how: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write_numbered(folder / f"whole_{name}", EVEN, **how)  # type: ignore[arg-type]
        second_gop(folder / f"whole_{name}", folder / name, before)
        return folder / name

    return make


def edited(*edits: tuple[int, int]) -> Callable[[Path], Path]:
    """Durations in milliseconds and starts in the medium."""

    def make(folder: Path) -> Path:
        write_numbered(folder / "edited.mp4", EVEN, options=CLOSED)
        edit_list(folder / "edited.mp4", edits)
        return folder / "edited.mp4"

    return make


def two_streams(switched_on: int, ending: str) -> Callable[[Path], Path]:
    """The other stream's frames begin at 100."""

    def make(folder: Path) -> Path:
        path = folder / f"two{ending}"
        sources = []
        for place in range(2):
            one = folder / f"{place}{ending}"
            write_numbered(one, LATE, first=100 * (place != switched_on), options=CLOSED)
            sources.append(av.open(str(one)))
        with av.open(str(path), "w") as out:
            streams = [out.add_stream_from_template(one.streams.video[0]) for one in sources]
            streams[switched_on].disposition = av.stream.Disposition.default
            packets = [
                (p, stream) for one, stream in zip(sources, streams) for p in one.demux(video=0) if p.size
            ]
            for packet, stream in sorted(packets, key=lambda pair: pair[0].dts or 0):
                packet.stream = stream
                out.mux(packet)
        for one in sources:
            one.close()
        return path

    return make


def dropped(folder: Path) -> Path:
    """AVI as a recorder writes it that drops pictures: they are counted, and are not there."""
    stamps = [k + 2 * (k // 5) for k in range(COUNT)]
    write_numbered(folder / "dropped.avi", stamps, codec="mjpeg", pix_fmt="yuvj420p", tick=Fraction(1, 30))
    return folder / "dropped.avi"


# How each is made; the numbers that its frames say of themselves; whether a table leads to all of them.
WHOLE = list(range(COUNT))
KINDS: dict[str, tuple[Callable[[Path], Path], list[int], bool]] = {
    "even": (plain("v.mp4", EVEN, options=CLOSED), WHOLE, True),
    "late": (plain("v.mp4", LATE, options=CLOSED), WHOLE, True),
    "late, Matroska": (plain("v.mkv", LATE, options=CLOSED), WHOLE, True),
    "late, QuickTime": (plain("v.mov", LATE, options=CLOSED), WHOLE, True),
    "gaps": (plain("v.mp4", GAPS, options=CLOSED), WHOLE, True),
    "starts at 5 s": (plain("v.mp4", [5000 + t for t in LATE], options=CLOSED), WHOLE, True),
    "starts at 5 s, Matroska": (plain("v.mkv", [5000 + t for t in LATE], options=CLOSED), WHOLE, True),
    "open groups": (plain("v.mp4", LATE, options=OPEN), WHOLE, True),
    "open groups, Matroska": (plain("v.mkv", LATE, options=OPEN), WHOLE, True),
    "open groups, HEVC": (plain("v.mp4", LATE, codec="libx265", options=OPEN_HEVC), WHOLE, True),
    "begins in an open group": (cut("v.mkv", 0, options=OPEN), WHOLE[12:], True),
    "begins in an open group, HEVC": (cut("v.mkv", 0, codec="libx265", options=OPEN_HEVC), WHOLE[12:], True),
    "begins before a key frame": (cut("v.mkv", 3, options=OPEN), WHOLE[12:], True),
    "no key frames but one": (plain("v.mkv", LATE, options=REFRESH), WHOLE, False),
    "ten bits": (plain("v.mp4", LATE, pix_fmt="yuv420p10le", options=CLOSED), WHOLE, True),
    "odd size": (plain("v.mp4", LATE, size=(97, 65), pix_fmt="yuv444p", options=CLOSED), WHOLE, True),
    "odd size, lossless": (plain("v.mkv", LATE, size=(97, 65), codec="ffv1"), WHOLE, True),
    "hidden pictures": (
        plain(
            "v.mkv",
            LATE,
            codec="libvpx",
            options={"g": "12", "auto-alt-ref": "1", "lag-in-frames": "10", "cpu-used": "8"},
        ),
        WHOLE,
        True,
    ),
    "MPEG-4": (plain("v.mp4", LATE, codec="mpeg4", options={"g": "12", "bf": "2"}), WHOLE, True),
    "transport stream": (plain("v.ts", [1000 + t for t in LATE], options=CLOSED), WHOLE, False),
    "pieces": (plain("v.mp4", LATE, options=CLOSED, flags="frag_keyframe+empty_moov"), WHOLE, True),
    "two streams, the first on": (two_streams(0, ".mp4"), WHOLE, True),
    "two streams, the second on": (two_streams(1, ".mkv"), WHOLE, True),
    "AVI of key frames, some dropped": (dropped, WHOLE, True),
    "AVI with B frames": (plain("v.avi", WHOLE, options=CLOSED, tick=Fraction(1, 30)), WHOLE, False),
    "bare stream": (plain("v.h264", EVEN, options=CLOSED), WHOLE, False),
    "edit: begins late": (edited((1584, -1), (1320, ticks(0))), WHOLE, True),
    "edit: first ten cut": (edited((1000, ticks(10))), WHOLE[10:], True),
    "edit: last twenty cut": (edited((660, ticks(0))), WHOLE[:20], True),
    "edit: the middle, between frames": (edited((330, ticks(14.5))), WHOLE[15:25], True),
    "edit: two pieces": (edited((330, ticks(5)), (330, ticks(25))), [*WHOLE[5:15], *WHOLE[25:35]], False),
    "edit: twice the same": (edited((330, ticks(5)), (330, ticks(5))), [*WHOLE[5:15], *WHOLE[5:15]], False),
    "edit: later piece first": (
        edited((330, ticks(25)), (330, ticks(5))),
        [*WHOLE[25:35], *WHOLE[5:15]],
        False,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_by_number_by_time_and_going_through(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, expected, leads = KINDS[kind]
    path = make(tmp_path)
    through = list(iter_video(path, range(len(expected))))
    facts = probe_video(path)
    assert [number_of(pixels) for pixels in through] == expected and facts.frames == len(expected)

    counted = []
    monkeypatch.setattr(video_module, "iter_video", lambda *args: counted.append(args) or iter_video(*args))
    # Steps of three fall on, before and after key frames; from the back, for nothing to be left over.
    for number in range(len(expected) - 1, -1, -3):
        assert np.array_equal(read_video_frame(path, number), through[number]), number
    assert not (leads and counted)
    near = [0, 1, 1, len(expected) - 1]
    assert all(np.array_equal(a, through[k]) for k, a in zip(near, iter_video_near(path, near), strict=True))
    with pytest.raises(InputError, match="ends before"):
        read_video_frame(path, len(expected))

    if (table := frame_table(path)) is None:
        with pytest.raises(InputError, match="no frame at a time"):
            read_video_frame_at(path, 0.5)
        return
    assert len(table.stamps) == len(expected)
    assert [table.number_at(time) for time in facts.times if time is not None] == list(range(len(expected)))
    for number in (0, len(expected) // 2, len(expected) - 1):
        assert np.array_equal(read_video_frame_at(path, facts.times[number] or 0.0), through[number])


def test_a_time_between_frames_is_the_earlier_ones_and_before_the_first_is_none(tmp_path: Path) -> None:
    path = plain("v.mp4", [1000, 1010, 1900], options=CLOSED)(tmp_path)
    assert [number_of(read_video_frame_at(path, t)) for t in (1.0, 1.009, 1.01, 1.8, 1.9, 60.0)] == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]
    for time in (0.9, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="no frame at a time"):
            read_video_frame_at(path, time)


def test_another_file_of_the_same_name_has_another_table(tmp_path: Path) -> None:
    path = plain("v.mp4", LATE, options=CLOSED)(tmp_path)
    assert number_of(read_video_frame(path, 12)) == 12
    write_numbered(tmp_path / "other.mp4", GAPS[:20], first=50, options=CLOSED)
    shutil.move(tmp_path / "other.mp4", path)
    assert number_of(read_video_frame(path, 12)) == 62


# Rows of the display matrix: a quarter turn, and mirrors whose angle says half a turn and none.
TURN = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
ACROSS = [-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30]
UPSIDE = [65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30]


@pytest.mark.parametrize("matrix", [ACROSS, UPSIDE])
def test_what_is_to_be_shown_mirrored_is_refused_however_it_is_read(
    matrix: list[int], tmp_path: Path
) -> None:
    path = plain("v.mp4", LATE, options=CLOSED, matrix=matrix)(tmp_path)
    readers = (probe_video, lambda p: read_video_frame(p, 20), lambda p: next(iter_video(p, [0])))
    for read in (*readers, lambda p: next(shown_frames(p))):
        with pytest.raises(InputError, match="to be shown mirrored"):
            read(path)


def test_what_is_to_be_shown_turned_is_turned_however_it_is_read(tmp_path: Path) -> None:
    """As players and OpenCV do: phones hold their sensor sideways, and say so in the file."""
    path = plain("v.mp4", LATE, options=CLOSED, matrix=TURN)(tmp_path)
    with pytest.raises(InputError, match="to be shown turned"):
        next(decode_video(path))
    facts, stored = probe_video(path), next(decode_video(path, may_turn=True))
    assert (facts.width, facts.height, facts.turned) == (64, 96, stored.rotation % 360) and facts.turned in (
        90,
        270,
    )
    shown = [read_video_frame(path, 0), next(iter_video(path, [0])), next(shown_frames(path))]
    assert all(np.array_equal(one, shown[0]) for one in shown) and shown[0].shape == (96, 64, 3)
    assert number_of(np.rot90(shown[0], -facts.turned // 90)) == 0
    reader = cv2.VideoCapture(str(path))
    opencv = reader.read()[1][..., ::-1].astype(float)
    assert np.abs(opencv - shown[0]).mean() < 3.0 < np.abs(opencv[::-1, ::-1] - shown[0]).mean()


def test_an_avi_that_was_cut_off_is_still_refused(tmp_path: Path) -> None:
    whole = dropped(tmp_path)
    probe_video(whole)
    content = whole.read_bytes()
    # At a picture's start: all that is left can be decoded.
    whole.write_bytes(content[: content.rindex(b"00dc", 0, content.index(b"idx1") * 3 // 4)])
    with pytest.raises(InputError, match="truncated"):
        probe_video(whole)
