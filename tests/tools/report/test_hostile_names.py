"""Pages made of hostile names have the elements that harmless ones give, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.evaluate.protocol import lock_protocol
from simulacra.recon.evaluate.scoring import EvaluateConfig, PublishedNumber, Subject, score_views
from simulacra.recon.preflight import Preflight
from simulacra.recon.preflight.record import Check
from simulacra.render.image import write_image
from simulacra.tools.design.config import Sweep, Variant
from simulacra.tools.design.page import write_design
from simulacra.tools.design.summary import summarise
from simulacra.tools.report.check_page import write_check_page
from simulacra.tools.report.write import write_run_report
from tests.tools.design.test_design import DESIGN, results
from tests.tools.report.test_report import Box

HARMLESS = "name"
# No slash: it is the name of files too. What a page is in when a value comes: text, an attribute, a title, a style.
HOSTILE = "\"'><script>alert(1)<img src=x onerror=alert(1)><svg onload=alert(1)><base href=x>{{7*7}}&lt;]]>"


class Elements(html.parser.HTMLParser):
    """The elements of a page and the names of their attributes; what is written to an attribute of a place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.places: list[str] = []
        self.policy = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attributes)))
        known = {name: value or "" for name, value in attributes}
        self.places += [known[name] for name in ("src", "href", "action", "data") if name in known]
        if known.get("http-equiv") == "Content-Security-Policy":
            self.policy = known["content"]


def assert_strict(page: str) -> None:
    """Nothing outside is named, nothing but the page's own script may run."""
    elements = Elements(page)
    assert all(place.startswith("data:image/") for place in elements.places)
    policy = dict(part.strip().split(" ", 1) for part in elements.policy.split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert policy.get("script-src", "").split() == [f"'sha256-{digest}'" for digest in digests]
    assert policy.get("img-src", "data:") == "data:"
    assert not any(name.startswith("on") for _, names in elements.found for name in names)


def report(folder: Path, word: str) -> str:
    """A run's page whose every name and text is the word."""
    run, session = folder / "run", folder / f"session {word}"
    session.mkdir(parents=True)
    protocol = lock_protocol(("0", "1", word), (0,), held_out_cameras=(word,))
    settings = EvaluateConfig(references=(PublishedNumber(metric="psnr_fg", value=24.0, source=word),))
    score_views(Subject(Box().render, Box().read), protocol, settings, run / "evaluate")
    write_image(run / "evaluate" / "overlay" / f"{word}.png", np.zeros((8, 8, 3), np.float32))
    (run / "avatar").mkdir()
    np.savez(run / "avatar/losses.npz", step=np.arange(50), **{word: np.exp(-np.arange(50) / 9)})
    about = {"subject": word, "consent": {word: word}, "retain_until": word, "derived_from": word}
    (session / "session.json").write_text(json.dumps({"about": about, "notes": [word]}))
    (run / "preflight").mkdir()
    check = Check("storage", word, 1.0, word, word, "warn", word, word)
    (run / "preflight/preflight.json").write_text(json.dumps({"checks": [vars(check)], "notes": [word]}))
    stages = {word: {"seconds": 1.0, "peak_mb": 1.0, "skipped": False}}
    (run / "run.json").write_text(
        json.dumps({"stages": stages, "session": str(session), "config_name": word, "commit": word})
    )
    (run / "config.yaml").write_text(f"# {word}\n")
    return write_run_report(run).read_text("utf-8")


def check_page(folder: Path, word: str) -> str:
    checks = tuple(Check("storage", word, 1.0, word, word, status, word, word) for status in ("fail", "warn"))  # type: ignore[arg-type]
    record = Preflight(checks, (word,))
    return write_check_page(folder / "check.html", folder / word, record, None).read_text("utf-8")


def design_page(folder: Path, word: str) -> str:
    design = replace(
        DESIGN,
        variants=tuple(replace(one, name=f"{one.name} {word}") for one in DESIGN.variants),
        sweeps=tuple(replace(one, name=f"{one.name} {word}") for one in DESIGN.sweeps),
    )
    assert isinstance(design.variants[0], Variant) and isinstance(design.sweeps[0], Sweep)
    rows = summarise(design, results(design))
    return write_design(folder, design, rows, {word: {"psnr_fg": 23.0}}).read_text("utf-8")


@pytest.mark.parametrize("made", [report, check_page, design_page])
def test_hostile_names_make_no_elements(tmp_path: Path, made) -> None:  # type: ignore[no-untyped-def]
    harmless, hostile = made(tmp_path / "a", HARMLESS), made(tmp_path / "b", HOSTILE)
    assert "alert(1)" in hostile and "7*7" in hostile
    assert_strict(harmless)
    assert_strict(hostile)
    assert Elements(hostile).found == Elements(harmless).found


def test_what_is_not_escaped_would_be_seen() -> None:
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'"
    page = f"<meta http-equiv='Content-Security-Policy' content=\"{policy}\"><p>{{}}</p>"
    assert_strict(page.format(HARMLESS))
    assert Elements(page.format(HOSTILE)).found != Elements(page.format(HARMLESS)).found
    for wrong in ("<img src='https://x.y'>", "<b onclick=x>", "<script>1</script>"):
        with pytest.raises(AssertionError):
            assert_strict(page.format(wrong))
