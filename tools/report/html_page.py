"""A page as one file: a template, its style and scripts and pictures inside; nothing is asked of a network."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path

import jinja2

from simulacra.recon.runs.files import disk_errors, write_text
from simulacra.render.runtime.whole_files import sync

TEMPLATES = ("simulacra.tools.report", "simulacra.tools.comparison")


def write_page(path: Path, template: str, scripts: tuple[str, ...], **values: object) -> Path:
    """Writes a page atomically.

    Args:
        template: a file beside the code that fills it in.
        scripts: files of `tools/report`, which the page runs in this order, and no others.
        values: what the template names.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.FunctionLoader(_reader(package)) for package in TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = "".join(_read(TEMPLATES[0], name) for name in scripts)
    page = environment.get_template(template).render(
        style=_read(TEMPLATES[0], "report.css"),
        script=script,
        # The policy lets this script run and no other, so that one that got past the escaping would not.
        script_digest=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
        **values,
    )
    with disk_errors(path.parent):
        write_text(path, page)
        sync(path.parent)
    return path


def _reader(package: str):  # type: ignore[no-untyped-def]
    return lambda name: _read(package, name) if (resources.files(package) / name).is_file() else None


def _read(package: str, name: str) -> str:
    return (resources.files(package) / name).read_text("utf-8")
