"""What the documents say is so: commands, options, settings, codes, metrics, extras, configurations, links."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import io
import itertools
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulacra.recon.evaluate.metrics import METRICS, SETTINGS
from simulacra.recon.evaluate.scoring import EvaluateConfig
from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.preflight.codes import CODES
from simulacra.recon.runs.configuration import config_keys, dump_config
from simulacra.tools.cli import main
from simulacra.tools.commands.configurations import brought_configs
from simulacra.tools.commands.export import FORMATS
from simulacra.tools.design.config import DesignConfig
from simulacra.tools.virtual.config import VirtualCaptureConfig

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
# What was is not held against what is.
PAGES = [
    page
    for page in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")))
    if page.name != "LOG.md"
]
FOLDERS = ("render", "recon", "tools", "tests", "configs", "assets", "docs", "examples")
SCHEMAS = (ReconstructionConfig, VirtualCaptureConfig, DesignConfig)
EXTRA_MODULES = {"pillow-heif": "pillow_heif", "openexr": "OpenEXR", "usd-core": "pxr"}


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def table_below(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table after a heading, without its own head."""
    table = re.search(r"(?:^\|.*\|\n)+", text[text.index(heading) :], re.MULTILINE)
    assert table, f"there is no table below {heading}"
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[0].splitlines()[2:]]


def codes_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of every call of simulacra in a page: lines of code, and spans of code in a line."""
    for line in re.findall(r"^ {4}(simulacra .*)$", text, re.MULTILINE):
        yield line.partition(" #")[0].split()
    for span in re.findall(r"`(simulacra [^`]*)`", text):
        yield span.split()


@functools.cache
def help_of(*words: str) -> str:
    """What `simulacra WORDS --help` prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    return said.getvalue()


def commands_of(*words: str) -> set[str]:
    """The commands that a help lists."""
    return set(
        re.findall(r"• ([\w-]+)" if words else r"^ {2}([a-z][\w-]*) {2}", help_of(*words), re.MULTILINE)
    )


@functools.cache
def settings() -> frozenset[str]:
    """Dotted names of all values of all configurations, and of the groups in which they are."""
    keys = {key for schema in SCHEMAS for key, _ in config_keys(schema)}
    groups = {key.rsplit(".", depth)[0] for key in keys for depth in range(1, key.count(".") + 1)}
    return frozenset(keys | groups)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text_of(page)):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_picture_is_shown() -> None:
    shown = "".join(text_of(page) for page in (*PAGES, DOCS / "LOG.md"))
    for picture in (DOCS / "pictures").iterdir():
        assert picture.name in shown, f"no page shows {picture.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_that_are_named_are_there(page: Path) -> None:
    for named in re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`", text_of(page)):
        if "NAME" in named:
            continue
        assert (REPOSITORY / named).exists(), f"{page.name} names {named}"
    for module in re.findall(r"python -m ([\w.]+)", text_of(page)):
        assert module == "pytest" or importlib.util.find_spec(module), f"{page.name} names {module}"
        assert module.split(".")[0] not in ("render", "recon", "tools"), (
            f"{module} is called simulacra.{module}"
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_functions_and_classes_that_are_named_are_there(page: Path) -> None:
    """`FILE:NAME`, `recon.module.name`, and what programs on a page import."""
    text = text_of(page)
    for file, name in re.findall(r"`([\w/]+\.py):([\w.]+)`", text):
        assert name in defined_in(REPOSITORY / file), f"{page.name} names {file}:{name}"
    for dotted in re.findall(r"`((?:render|recon|tools)(?:\.\w+)+)`", text):
        assert resolve(f"simulacra.{dotted}"), f"{page.name} names {dotted}"
    for module, names in re.findall(r"^ *from (simulacra[\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
        for name in names.split(","):
            assert resolve(f"{module}.{name.strip()}"), f"{page.name} imports {name.strip()} from {module}"


def test_names_that_are_not_there_are_found() -> None:
    assert {"main", "StageLog.run"} & defined_in(REPOSITORY / "recon" / "pipeline.py") == {"StageLog.run"}
    assert resolve("simulacra.recon.fit.fit_body")
    assert not resolve("simulacra.recon.fit.fit_bodies")
    assert not resolve("simulacra.recon.fits.fit_body")


def defined_in(file: Path) -> set[str]:
    """Functions and classes of a file, and methods after the name of their class."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            inner = node.body if isinstance(node, ast.ClassDef) else []
            found |= {node.name} | {
                f"{node.name}.{each.name}" for each in inner if isinstance(each, ast.FunctionDef)
            }
    return found


def resolve(dotted: str) -> bool:
    """Whether a dotted name is a module or something in one."""
    with contextlib.suppress(ImportError, AttributeError):
        return pkgutil.resolve_name(dotted) is not None
    return False


def test_every_command_is_in_the_documents() -> None:
    called = [words for page in PAGES for words in command_lines(text_of(page))]
    documented = {words[1] for words in called if len(words) > 1}
    assert commands_of() <= documented
    for family in ("calibrate", "bench"):
        named = " ".join(text_of(page) for page in PAGES)
        for command in commands_of(family):
            assert re.search(rf"simulacra {family} {command}|\b{family} .*\b{command}\b", named), command
    layouts = re.findall(r"^\*\*([\w-]+)\*\*:", text_of(DOCS / "sessions.md"), re.MULTILINE)
    assert set(layouts) == commands_of("import")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    for words in command_lines(text_of(page)):
        given = list(itertools.takewhile(re.compile(r"[a-z][a-z-]*$").match, words[1:3]))
        if not given:
            continue
        assert given[0] in commands_of(), " ".join(words)
        inside = commands_of(given[0])
        command = given[:2] if inside & set(given[1:2]) else given[:1]
        known = set(re.findall(r"--[\w.-]+", help_of(*command)))
        for option in re.findall(r"--[a-z][\w.-]*", " ".join(words)):
            dotted = option.removeprefix("--").replace("-", "_")
            assert option in known or dotted in settings() or option == "--help", " ".join(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_named_exist(page: Path) -> None:
    groups = {key.split(".")[0] for key in settings()}
    for named in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", text_of(page)):
        first, last = named.split(".")[0], named.rsplit(".", 1)[1]
        if first in groups and last not in {"json", "md", "npz", "yaml", "html", "toml", "png"}:
            assert named in settings(), f"{page.name} names the setting {named}"


def test_every_check_of_the_preflight_is_in_its_table_and_is_made() -> None:
    rows = table_below(text_of(DOCS / "preflight.md"), "## The checks")
    documented = [code for row in rows for code in codes_in(row[0])]
    assert sorted(documented) == sorted(CODES)
    code = "".join(p.read_text("utf-8") for p in (REPOSITORY / "recon").rglob("*.py") if p.name != "codes.py")
    errors = "".join(p.read_text("utf-8") for p in (REPOSITORY / "render").rglob("errors.py"))
    for name in CODES:
        assert f'"{name}"' in code + errors, f"no check has the code {name}"


def test_every_metric_is_in_its_table() -> None:
    rows = table_below(text_of(DOCS / "metrics.md"), "## The metrics")
    assert [codes_in(row[0])[0] for row in rows] == list(METRICS)


def test_settings_of_metrics_have_the_defaults_that_are_documented() -> None:
    page, defaults = text_of(DOCS / "metrics.md"), dump_config(EvaluateConfig())
    for setting in SETTINGS.values():
        value = defaults
        for part in setting.split(".")[1:]:
            value = value[part]
        assert re.findall(rf"`{re.escape(setting)}` \(([\d.]+)\)", page) == [str(value)], setting


def test_meanings_name_settings_and_are_explained_by_them() -> None:
    values = dict.fromkeys(SETTINGS, "<given>")
    used = {name for metric in METRICS.values() for name in re.findall(r"{(\w+)}", metric.meaning)}
    assert used == set(SETTINGS)
    assert "at least <given>" in METRICS["mask_iou"].explain(values)
    assert "at least evaluate.view.alpha_threshold" in METRICS["mask_iou"].explain({})


def test_every_export_format_is_in_its_table() -> None:
    rows = table_below(text_of(DOCS / "exports.md"), "# A person for other programs")
    documented = {form: tuple(row[1].split(", ")) for row in rows for form in codes_in(row[0])}
    assert set(documented) == set(FORMATS)
    assert all(set(documented[form]) >= set(endings) for form, endings in FORMATS.items())


def test_every_extra_is_imported_by_a_file_and_documented() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = {name: needs for name, needs in project["optional-dependencies"].items() if name != "dev"}
    code = [
        p.read_text("utf-8") for f in ("render", "recon", "tools") for p in (REPOSITORY / f).rglob("*.py")
    ]
    for extra, needs in extras.items():
        assert any(f"simulacra[{extra}]" in text for text in code), f"no error names the extra {extra}"
        for need in needs:
            package = re.split(r"[\[>=<]", need)[0]
            module = EXTRA_MODULES.get(package, package)
            importing = re.compile(rf"^\s*(import|from) {module}\b", re.MULTILINE)
            assert any(importing.search(text) for text in code), f"no file imports {package} of {extra}"
    named = re.search(r"pip install simulacra\[(\w+)\]`((?:, `\w+`)*)", text_of(DOCS / "development.md"))
    assert named and {named[1], *codes_in(named[2])} == set(extras)


def test_every_configuration_is_in_the_readmes_table() -> None:
    documented = []
    for row in table_below(text_of(REPOSITORY / "README.md"), "## Configurations"):
        names = codes_in(row[0])
        folder = names[0].rpartition("/")[0]
        documented += [name if "/" in name or not folder else f"{folder}/{name}" for name in names]
    assert sorted(documented) == sorted(brought_configs())
