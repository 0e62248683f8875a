"""The server: one port, loopback unless it is told otherwise."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simulacra.render.runtime.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .access import Access

# Tried one after the other where the first is taken and none was asked for.
FIRST_PORT, PORTS = 8765, 20


def serve(paths: Sequence[Path], labels: Sequence[str], host: str, port: int | None, expose: bool) -> None:
    """Shows runs and captures until it is stopped.

    Raises:
        MissingExtraError: the extra `viewer` is not installed.
        ConfigError: a host that others reach without `expose`, or a port that cannot be had.
        InputError: there is nothing to look at.
    """
    access = access_to(host, expose)
    from .app import make_app
    from .entries import find_entries

    entries = find_entries(paths)
    count = f"{len(entries)} {'run or capture' if len(entries) == 1 else 'runs and captures'}"
    what = "pictures, scores and tags of these, and whoever has the address can add tags"
    serve_app(make_app(paths, labels, access), access, host, port, count, what)


def serve_app(app: ASGIApp, access: Access, host: str, port: int | None, title: str, what: str) -> None:
    """Serves an application until it is stopped, and prints where.

    Args:
        access: who may ask, as `access_to` has it.
        title: what stands before the address.
        what: whoever else has the address sees.

    Raises:
        ConfigError: a port that cannot be had.
    """
    import uvicorn

    listening = _listen(host, port)
    address = f"http://{_shown(host)}:{listening.getsockname()[1]}/"
    print(f"{title}: {address}{'?token=' + access.token if access.token else ''}", flush=True)
    if access.token:
        print(
            f"EXPOSED at {host}: whoever has this address with its token sees {what}. Ctrl-C ends it.",
            flush=True,
        )
    settings = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=1)
    uvicorn.Server(settings).run(sockets=[listening])


def access_to(host: str, expose: bool) -> Access:
    """Who may ask: everybody on this machine, or whoever has a new token.

    Raises:
        MissingExtraError: the extra `viewer` is not installed.
        ConfigError: a host that others reach without `expose`.
    """
    try:
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "the viewer needs Starlette and uvicorn", remedy="pip install 'simulacra[viewer]'"
        ) from error
    from .access import Access, is_loopback

    alone = is_loopback(host)
    if not alone and not expose:
        raise ConfigError(
            "others would be able to look at these captures of people",
            where=f"--host {host}",
            remedy="leave --host away and forward the port (ssh -L 8765:localhost:8765 MACHINE); or add --expose, "
            "which asks everybody for a token",
        )
    return Access() if alone and not expose else Access.exposed()


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens at the asked port, or at one of the usual ones."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS):
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((host.strip("[]"), wanted))
            opened.listen(64)
        except OSError as error:
            opened.close()
            if error.errno == errno.EADDRINUSE and port is None:
                continue
            raise ConfigError(
                "the server cannot listen there",
                where=f"{host}, port {wanted}",
                found=error.strerror or error,
                remedy="another --port or --host",
            ) from error
        return opened
    raise ConfigError("no port is free", expected=f"one from {FIRST_PORT} on", remedy="give a --port")


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
