"""report.html: one file that needs no other, says what the files say, and names what is missing."""

import html
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.evaluate.protocol import View, choose_other, lock_protocol
from simulacra.recon.evaluate.scoring import EvaluateConfig, PublishedNumber, Subject, score_views
from simulacra.recon.evaluate.views import CapturedView, ViewConfig
from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.preflight import Check, Preflight, save_preflight
from simulacra.recon.preflight.verdict import Verdict
from simulacra.recon.runs.configuration import dump_config, load_config
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import RunError
from simulacra.tools.commands.configurations import brought_configs
from simulacra.tools.commands.reconstruct import _conclude
from simulacra.tools.report.charts import Curve, binned, line_chart, nice_ticks, running_mean
from simulacra.tools.report.content import read_run
from simulacra.tools.report.pictures import MOST_BYTES, SIZES, Picture, embed, person_box
from simulacra.tools.report.strips import time_strips
from simulacra.tools.report.wording import duration
from simulacra.tools.report.write import write_report, write_run_report

SIZE = 40


class Box:
    """A grey box over black."""

    def image(self, frame_index: int, camera: str) -> np.ndarray:
        return np.full((SIZE, SIZE, 3), 0.5, np.float32)

    def read(self, camera: str, frames: Sequence[int]) -> Iterator[CapturedView]:
        for frame in frames:
            mask, source = self.mask(frame, camera)
            yield CapturedView(View(camera, frame), self.image(frame, camera), mask, source, None)

    def mask(self, frame_index: int, camera: str) -> tuple[np.ndarray, str]:
        mask = np.zeros((SIZE, SIZE), np.float32)
        mask[10:30, 15:25] = 1.0
        return mask, "session"

    def render(self, frame: int, camera: str, width: int, height: int):
        import torch

        alpha = torch.from_numpy(self.mask(frame, camera)[0])
        return 0.55 * alpha[..., None].repeat(1, 1, 3), alpha, 2 * alpha


PROTOCOL = lock_protocol(("0", "1", "2"), (0,), held_out_cameras=("2",))
SETTINGS = EvaluateConfig(references=(PublishedNumber(metric="psnr_fg", value=24.0, source="a <peer>"),))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    box = Box()
    run = tmp_path / "my run"
    score_views(Subject(box.render, box.read), PROTOCOL, SETTINGS, run / "evaluate")
    for index in range(4):
        write_image(
            run / "evaluate" / "turntable" / f"{index:03d}.png", np.full((8, 8, 3), index / 4, np.float32)
        )
    write_image(run / "evaluate" / "overlay" / "0.png", np.zeros((8, 8, 3), np.float32))
    (run / "avatar").mkdir()
    steps = np.arange(500)
    np.savez(
        run / "avatar" / "losses.npz", step=steps, l1=np.exp(-steps / 100), total=2 * np.exp(-steps / 100)
    )
    session = tmp_path / "S01 <b>balancing"
    session.mkdir()
    described = {
        "about": {"subject": "S01", "consent": {"until": "2031-12-31"}},
        "notes": ["camera 1 lags by <2> frames"],
    }
    (session / "session.json").write_text(json.dumps(described))
    stages = {
        "avatar": {"seconds": 125.0, "peak_mb": 900.0, "skipped": False},
        "observe": {"seconds": 5.0, "peak_mb": 1400.4, "skipped": True},
    }
    (run / "run.json").write_text(
        json.dumps({"stages": stages, "session": str(session), "config_name": "studio", "commit": "a" * 40})
    )
    (run / "config.yaml").write_text("splat:\n  steps: 500  # <here>\n")
    return run


def text_of(page: str) -> str:
    body = re.sub(r"<(style|script)>.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body)))


def test_page_needs_no_other_file_and_no_network(run: Path) -> None:
    page = write_run_report(run).read_text("utf-8")
    assert "http://" not in page and "https://" not in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    sources = [source for source in sources if not source.startswith("#")]
    assert len(sources) == 3 + 4 + 1
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"<(link|iframe|object|embed)\b|@import|url\(", page)
    assert "default-src 'none'" in page


def test_page_says_what_the_files_say(run: Path) -> None:
    text = text_of(write_run_report(run).read_text("utf-8"))
    # An offset of 0.05 everywhere on the person is 26.02 dB.
    for said in (
        "26.02 dB",
        "24.00 dB a <peer>",
        "this run is better",
        "Scored on 1 view: cameras 2, which no stage saw.",
        "Camera 1 lags by <2> frames.",
        "Depth error, median and Depth error, 90th percentile and Normals: the capture has no depth for this view.",
        "Joint error (MPJPE): the session has no reference joints.",
        "2 min 05 s",
        "1400 MiB",
        "earlier result kept",
        "consent: until 2031-12-31",
        "steps: 500 # <here>",
        "simulacra · studio · S01 <b>balancing",
        "aaaaaaaaaaaa",
    ):
        assert said in text, said


def test_what_a_number_means_follows_the_settings_it_was_made_with(run: Path) -> None:
    strict = replace(SETTINGS, view=ViewConfig(alpha_threshold=0.25))
    for settings, said in ((SETTINGS, "mask at least 0.5,"), (strict, "mask at least 0.25,")):
        score_views(Subject(Box().render, Box().read), PROTOCOL, settings, run / "evaluate")
        assert said in write_run_report(run).read_text("utf-8")


def test_names_from_files_are_text_not_markup(run: Path) -> None:
    page = write_run_report(run).read_text("utf-8")
    assert "<b>balancing" not in page
    assert "S01 &lt;b&gt;balancing" in page and "<title>my run · studio – simulacra report" in page


def test_the_same_run_gives_the_same_page(run: Path) -> None:
    first = write_run_report(run).read_bytes()
    assert write_run_report(run).read_bytes() == first


def test_stages_come_in_the_order_in_which_they_run(run: Path) -> None:
    assert [stage.name for stage in read_run(run).stages] == ["observe", "avatar"]
    assert [curve.name for curve in read_run(run).losses] == ["total", "l1"]


def test_scores_of_seen_views_say_so(run: Path) -> None:
    box = Box()
    other = choose_other(PROTOCOL, ("1",))
    score_views(Subject(box.render, box.read), other, SETTINGS, run / "evaluate_1")
    path = write_run_report(run, "evaluate_1")
    assert path.name == "report_evaluate_1.html"
    text = text_of(path.read_text("utf-8"))
    assert "not how well it predicts" in text
    assert "chosen after the training" in text
    assert "Camera 1, frame 0 seen in training" in text
    locked = text_of(write_run_report(run).read_text("utf-8"))
    assert "seen in training" not in locked


def test_doubts_of_the_preflight_come_first_the_worst_on_top(run: Path) -> None:
    def check(code: str, status: str) -> dict[str, object]:
        words = {"where": "camera 2", "unit": "m", "limit": "1.0 to 2.2", "remedy": "Check the depth scale."}
        return {"code": code, "measured": 17.0, "status": status, **words}

    checks = [check("focal", "pass"), check("exposure", "warn"), check("stature", "fail")]
    (run / "preflight").mkdir()
    (run / "preflight" / "preflight.json").write_text(json.dumps({"checks": checks, "notes": []}))
    notes = read_run(run).notes
    assert [note.level for note in notes[:3]] == ["error", "warning", "info"]
    assert notes[0].title == "The person has an impossible height (camera 2)."
    assert notes[0].text == "Measured 17 m, wanted 1.0 to 2.2 (stature)."
    assert notes[0].do == "Check the depth scale."
    assert notes[2].text == "Preflight: 1 of 3 checks passed."


def usable(run: Path, **changes: object) -> tuple[str, str]:
    """What the report of the run begins with after the title, with other scores."""
    path = run / "evaluate" / "metrics.json"
    metrics = json.loads(path.read_text())
    for name, mean in changes.items():
        metrics["scores"][name]["mean"] = mean
    path.write_text(json.dumps(metrics))
    verdict = read_run(run).verdict
    assert verdict is not None
    text = text_of(write_run_report(run).read_text("utf-8"))
    assert text.index(verdict.sentence) < text.index("Scored on 1 view")
    return verdict.usable, verdict.sentence


def test_the_report_begins_with_a_verdict(run: Path) -> None:
    assert usable(run) == ("usable", "Usable.")
    sentence = "Usable with care, because avatar and person overlap by 0.71 of 1 only."
    assert usable(run, mask_iou=0.71) == ("usable with care", sentence)
    assert usable(run, mask_iou=0.3)[0] == "not usable"


def test_the_worst_view_comes_first_and_is_named(run: Path) -> None:
    content = read_run(run)
    (view,) = content.views
    other = replace(view, frame=7, values=dict(view.values) | {"psnr_fg": 14.58})
    write_report(run / "two.html", replace(content, views=(view, other)))
    text = text_of((run / "two.html").read_text("utf-8"))
    assert "Worst of those shown: camera 2, frame 7, 15 dB" in text
    assert text.index("Camera 2, frame 7") < text.index("Camera 2, frame 0")
    # A single one is neither.
    assert "orst" not in text_of(write_run_report(run).read_text("utf-8"))


def test_what_is_known_of_the_session_and_of_the_scores_calls_for_care(run: Path) -> None:
    dark = Check("exposure", "cam02", 0.0412, "of white", "0.06 to 0.94", "fail", "more light")
    save_preflight(run / "preflight", Preflight((dark,)))
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(described | {"frames_without_person": "3 to 9"}))
    box = Box()
    score_views(Subject(box.render, box.read), choose_other(PROTOCOL, ("1",)), SETTINGS, run / "evaluate_1")
    verdict = read_run(run, "evaluate_1").verdict
    assert verdict is not None and verdict.usable == "usable with care"
    for reason in ("trained on", "in frames 3 to 9", "too dark or too bright (cam02)"):
        assert reason in verdict.sentence
    shutil.rmtree(run / "evaluate")
    assert read_run(run).verdict == Verdict(
        "not usable", "Not usable, because it was not evaluated.", "Score it: `simulacra evaluate RUN`."
    )


def test_who_was_found_and_what_no_camera_saw_is_said_only_where_there_is_something(run: Path) -> None:
    assert not [note for note in read_run(run).notes if "No camera" in note.text or "people" in note.text]
    described = json.loads((run / "run.json").read_text())
    described |= {
        "never_seen": "No camera saw the legs: what is there is a guess, at rest as people rest.",
        "fit_doubts": ["Camera cam02 looks elsewhere than its calibration says."],
        "cameras_without_person": ["cam07"],
        "people": {"looked_at": "person2", "found": ["person1: in 4 cameras", "person2: in 3 cameras"]},
        "people_doubts": ["person1 and person2 cannot be told apart after frame 9"],
    }
    (run / "run.json").write_text(json.dumps(described))
    notes = {note.text: note.level for note in read_run(run).notes}
    assert notes[described["never_seen"]] == "warning"
    assert notes[described["fit_doubts"][0]] == "warning"
    assert read_run(run).fit_doubts == tuple(described["fit_doubts"])
    assert described["fit_doubts"][0] in text_of(write_run_report(run).read_text("utf-8"))
    assert notes["Camera cam07: the networks see nobody; it gives no landmarks."] == "warning"
    assert notes["person1 and person2 cannot be told apart after frame 9."] == "warning"
    found = "2 people were found, person2 is the one shown: person1: in 4 cameras; person2: in 3 cameras."
    assert notes[found] == "info"


def test_what_the_fit_doubts_is_on_the_terminal_at_the_end(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(described | {"fit_doubts": ["Camera cam02 looks elsewhere."]}))
    _conclude([run], run)
    assert "The fit doubts: Camera cam02 looks elsewhere.\n" in capsys.readouterr().out


def test_a_session_that_has_gone_is_said_and_its_terms_are_kept(run: Path) -> None:
    described = json.loads((run / "run.json").read_text())
    described |= {
        "session": "/nowhere/S01",
        "session_about": {"consent": "until 2031"},
        "session_notes": ["n1"],
    }
    (run / "run.json").write_text(json.dumps(described))
    text = text_of(write_run_report(run).read_text("utf-8"))
    for said in ("The session is no longer at /nowhere/S01.", "consent until 2031", "N1."):
        assert said in text


def test_a_baseline_on_other_views_gets_no_verdict(run: Path, tmp_path: Path) -> None:
    box = Box()
    same, elsewhere = tmp_path / "baseline", tmp_path / "elsewhere"
    score_views(Subject(box.render, box.read), PROTOCOL, EvaluateConfig(), same / "evaluate")
    score_views(
        Subject(box.render, box.read),
        choose_other(PROTOCOL, ("0",)),
        EvaluateConfig(),
        elsewhere / "evaluate",
    )
    beside = {(b.metric, b.source): b for b in read_run(run, beside=(same, elsewhere)).beside}
    assert beside["psnr_fg", "baseline"].comparable is True
    assert beside["psnr_fg", "elsewhere (other views: not comparable)"].comparable is False
    text = text_of(write_run_report(run, beside=(elsewhere,)).read_text("utf-8"))
    assert "elsewhere (other views: not comparable) this run" not in text


def test_what_a_run_does_not_have_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    text = text_of(write_run_report(tmp_path).read_text("utf-8"))
    assert "This run was not evaluated." in text
    for absent in ("evaluate/metrics.json", "evaluate/turntable", "avatar/losses.npz", "config.yaml"):
        assert absent in text
    assert "says nothing about who is shown" in text


def test_not_a_run_and_damaged_files_are_errors(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not the folder of a run"):
        read_run(tmp_path / "nowhere")
    (run / "avatar" / "losses.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(RunError, match=r"losses\.npz"):
        read_run(run)
    (run / "evaluate" / "metrics.json").write_text("{")
    with pytest.raises(RunError, match=r"metrics\.json"):
        read_run(run)


def test_the_run_is_named_by_what_differs_from_its_configuration(run: Path) -> None:
    described = json.loads((run / "run.json").read_text())
    config = dump_config(load_config(ReconstructionConfig, brought_configs()["smoke"]))
    assert config["avatar"]["steps"] == 10
    config["avatar"]["steps"] = 60
    config["avatar"]["of_another_version"] = 1
    (run / "run.json").write_text(json.dumps(described | {"config_name": "smoke", "config": config}))
    page = write_run_report(run).read_text("utf-8")
    assert "<title>my run · smoke with avatar.steps 60 – simulacra report" in page
    assert "Differs from smoke: avatar.steps 60 ." in text_of(page)


def test_losses_that_are_not_in_use_and_stages_that_did_nothing_are_left_out(run: Path) -> None:
    steps = np.arange(20.0)
    np.savez(run / "avatar" / "losses.npz", step=steps, total=steps, depth=np.zeros(20))
    described = json.loads((run / "run.json").read_text())
    described["stages"]["refine"] = {"seconds": 0.01, "peak_mb": 1.0, "skipped": False}
    (run / "run.json").write_text(json.dumps(described))
    page = write_run_report(run).read_text("utf-8")
    assert 'aria-label="total"' in page and 'aria-label="depth"' not in page
    assert "avatar" in text_of(page) and "refine" not in text_of(page)


def test_tags_are_shown_as_they_are_now(run: Path) -> None:
    def line(key: str, **said: object) -> str:
        return json.dumps(
            {"id": key, "time": "2026", "camera": "2", "frame": 0, "tag": "hole", "severity": 1, "note": ""}
            | said
        )

    lines = [
        line("a"),
        line("b", tag="bad hand", severity=3, note="left <thumb>"),
        line("c"),
        '{"id": "d", "fra',
    ]
    lines += [line("a", note="mended"), line("c", removed=True)]
    (run / "tags.jsonl").write_text("\n".join(lines))
    assert [(tag.tag, tag.note) for tag in read_run(run).tags] == [
        ("bad hand", "left <thumb>"),
        ("hole", "mended"),
    ]
    page = write_run_report(run).read_text("utf-8")
    assert "tag, severity 3 bad hand , camera 2, frame 0 : left <thumb>" in text_of(page)
    assert '<b>bad hand</b>, <a href="#view-0">' in page


def moving(frames: int, worst: dict[tuple[str, int], float]) -> dict[str, object]:
    """Scores of two cameras: 20 dB everywhere but in the views that are named."""
    views = [
        {"camera": c, "frame": f, "value": worst.get((c, f), 20.0)} for c in ("a", "b") for f in range(frames)
    ]
    return {"psnr_fg": {"views": views}}


def test_strips_name_the_worst_moment_of_every_camera() -> None:
    (strip,) = time_strips(moving(40, {("a", 7): 11.25, ("b", 30): 14.0}), {("a", 7): "#view-0"})
    assert [(line.camera, line.worst, line.link) for line in strip.lines] == [
        ("a", "worst 11.25 dB in frame 7", "#view-0"),
        ("b", "worst 14.00 dB in frame 30", ""),
    ]
    assert strip.scale.startswith("Bottom 11.25, top 20.00 dB; frames 0 to 39.")
    # Frame 7 of 39 is at 7 / 39 of 600; the least value is on the bottom, 3 above the edge of 42.
    assert 'class="low" d="M107.7 39.0h0"' in strip.lines[0].svg
    # Two moments are no course of time.
    assert not time_strips(moving(2, {}), {})


def test_thinning_a_strip_keeps_the_worst() -> None:
    (strip,) = time_strips(moving(5000, {("a", 4321): 1.0}), {})
    assert 'class="low" d="M518.6 39.0h0"' in strip.lines[0].svg
    assert strip.lines[0].svg.count("L") < 240


def test_regions_are_listed_the_worst_first(run: Path) -> None:
    path = run / "evaluate" / "metrics.json"
    metrics = json.loads(path.read_text())
    assert metrics["regions"] == {}
    views = [{"camera": "2", "frame": 0, "value": 17.5}]
    metrics["regions"] = {
        "face": {"mean": 22.0, "per_camera": {}, "count": 1, "views": views},
        "hands": {
            "mean": 17.5,
            "per_camera": {},
            "count": 1,
            "views": views,
            "mask_iou": {"mean": 0.61, "per_camera": {}, "count": 1, "views": []},
        },
        "eyes": {"mean": None, "per_camera": {}, "count": 0, "views": [], "mask_iou": None},
    }
    path.write_text(json.dumps(metrics))
    text = text_of(write_run_report(run).read_text("utf-8"))
    assert "hands 17.50 0.6100 17.50 dB (camera 2, frame 0) face 22.00 –" in text
    # What had too few pixels everywhere is no line.
    assert "eyes" not in text.partition("By region of the body")[2].partition("Scores")[0]


def test_pictures_share_what_room_there_is(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((900, 900, 3)).astype(np.float32)
    write_image(tmp_path / "noise.png", noise)
    pictures = [Picture(tmp_path / "noise.png")] * 3
    large = sum(map(len, embed(pictures)))
    small = sum(map(len, embed(pictures, large // 2)))
    assert small <= large // 2 < large <= MOST_BYTES
    # What has no room at any size comes at the smallest.
    assert sum(map(len, embed(pictures, 1))) < small and len(embed(pictures, 1)) == 3
    assert list(SIZES) == sorted(SIZES, reverse=True)


def test_pictures_are_cut_to_the_person(tmp_path: Path) -> None:
    photo = np.zeros((100, 80, 3), np.float32)
    photo[20:70, 30:50] = 0.5
    write_image(tmp_path / "photo.png", photo)
    rows, columns = person_box(tmp_path / "photo.png")
    assert (rows.start, rows.stop, columns.start, columns.stop) == (16, 74, 26, 54)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1500, [0, 500, 1000, 1500]),
        (0, 0.21, [0, 0.1, 0.2]),
        (-1.0, 1.0, [-1, -0.5, 0, 0.5, 1]),
        (0, 0, [0, 0.5, 1]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(expected)


def test_chart_draws_the_ends_of_the_curve_where_they_belong() -> None:
    chart = line_chart(Curve("l1", np.array([0.0, 100.0]), np.array([1.0, 0.0]), "1"))
    # Left edge and top tick at the start, right edge and the axis at the end.
    assert 'class="raw" d="M52.0 14.0L348.0 170.0"' in chart
    assert ">l1 (1)<" in chart and ">step<" in chart


def test_chart_leaves_out_what_is_not_finite_and_counts_it() -> None:
    values = np.array([1.0, np.nan, 2.0, np.inf, 3.0])
    chart = line_chart(Curve("l1", np.arange(5.0), values))
    assert "nan" not in chart.split("<p")[0].lower()
    assert "2 values that are not finite" in chart
    assert "too few values" in line_chart(Curve("l1", np.arange(1.0), np.ones(1)))


def test_binning_keeps_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=4800)
    steps, means = binned(np.arange(4800.0), values)
    assert len(steps) == 240
    assert means.mean() == pytest.approx(values.mean())
    np.testing.assert_allclose(running_mean(np.full(50, 3.0)), 3.0)


def test_durations_are_readable() -> None:
    assert [duration(s) for s in (0.44, 9.94, 59.4, 59.6, 125, 3725)] == [
        "0.4 s",
        "9.9 s",
        "59 s",
        "1 min 00 s",
        "2 min 05 s",
        "1 h 02 min",
    ]


def test_numbers_in_the_fits_own_poses_stand_beside_those_in_corrected_ones(run: Path) -> None:
    """Where photographs corrected the poses: the same views, drawn in the poses before that."""
    box = Box()

    def black(frame: int, camera: str, width: int, height: int):
        rgb, alpha, depth = box.render(frame, camera, width, height)
        return 0.5 * rgb, alpha, depth

    subject = Subject(box.render, box.read, unrefined=black)
    made = score_views(subject, PROTOCOL, SETTINGS, run / "evaluate")
    plain = score_views(Subject(box.render, box.read), PROTOCOL, SETTINGS, run / "other")
    score = made.as_json()["scores"]["psnr_near"]
    assert score["mean"] == plain.scores["psnr_near"].mean
    assert score["with_poses_of_the_fit"] < score["mean"] - 3
    assert "with_poses_of_the_fit" not in plain.as_json()["scores"]["psnr_near"]
    words = text_of(write_run_report(run).read_text("utf-8"))
    assert f"{score['with_poses_of_the_fit']:.2f}" in words and "in the fit's own poses" in words
