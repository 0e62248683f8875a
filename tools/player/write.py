"""Writes the player's page around an avatar: a folder for a web server, or one file that is opened from the disk."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from simulacra.render.runtime.whole_files import sync, whole_file

AVATAR = "person.avatar"
SCRIPT, STYLE = "page.js", "page.css"
LIVE, LIVE_SCRIPTS = "live", ("live.js", "live-worker.js")
POLICY = (
    "default-src 'none'; script-src 'self'{code}; style-src 'self'; connect-src 'self'; worker-src blob:{workers}; "
    "img-src data:"
)


def write_player(out: Path, avatar: bytes, title: str, live: Mapping[str, bytes] | None = None) -> list[Path]:
    """Writes one file where the name ends in .html, else a folder; returns what was written, the page first.

    The page's policy forbids every request but those of the folder for its own files.

    Args:
        avatar: the bytes of an .avatar file (`pack_rigged`).
        title: of the page.
        live: what is needed besides to be driven by a visitor's camera (`live_files`); in folders alone.

    Raises:
        OSError: the place cannot be written.
        ValueError: one file is to be driven by a camera.
    """
    if live and out.suffix.lower() == ".html":
        raise ValueError("a page that a camera drives is a folder")
    if out.suffix.lower() == ".html":
        files = {out: _single_file(avatar, title)}
    else:
        page = _page(
            title,
            policy=POLICY.format(
                code=" 'wasm-unsafe-eval'" if live else "", workers=" 'self'" if live else ""
            ),
            live=f"{LIVE}/{LIVE_SCRIPTS[0]}" if live else "",
            style=f'<link rel="stylesheet" href="{STYLE}">',
            script=f'<script defer src="{SCRIPT}"></script>',
            avatar=f'<script type="application/octet-stream" id="avatar" data-file="{AVATAR}"></script>',
        )
        scripts = {name: _brought("built", name).encode() for name in LIVE_SCRIPTS if live}
        files = {out / LIVE / name: content for name, content in {**scripts, **(live or {})}.items()} | {
            out / SCRIPT: _brought("built", SCRIPT).encode(),
            out / STYLE: _brought(STYLE).encode(),
            out / AVATAR: avatar,
            out / "index.html": page,
        }
    for path, content in files.items():
        with whole_file(path) as stream:
            stream.write(content)
        sync(path.parent)
    return [*reversed(files)]


def _single_file(avatar: bytes, title: str) -> bytes:
    script, style = _brought("built", SCRIPT), _brought(STYLE)
    if "</script" in script or "</style" in style:
        raise RuntimeError("the built player cannot stand inside a page")
    return _page(
        title,
        policy=f"default-src 'none'; script-src {_allowed(script)}; style-src {_allowed(style)}; "
        "worker-src blob:; img-src data:",
        style=f"<style>{style}</style>",
        script=f"<script>{script}</script>",
        avatar=f'<script type="application/octet-stream" id="avatar">{base64.b64encode(avatar).decode()}</script>',
    )


def _page(title: str, **parts: str) -> bytes:
    known = {"title": html.escape(title), "live": "", **parts}
    return re.sub(r"{{(\w+)}}", lambda found: known[found[1]], _brought("page.html")).encode()


def _allowed(text: str) -> str:
    """The source of a policy that allows this very text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _brought(*parts: str) -> str:
    return resources.files("simulacra.tools.player").joinpath(*parts).read_text(encoding="utf-8")
