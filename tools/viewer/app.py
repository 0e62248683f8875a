"""The application: the page, and behind it the routes, which are loaded while the browser reads the page."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .access import Access, AccessGuard

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGE = resources.files(__package__) / "page"
# The Gaussians in the browser are drawn by the player's renderer.
PLAYER = resources.files("simulacra.tools.player") / "src"


def make_app(paths: Sequence[Path], labels: Sequence[str], access: Access) -> Starlette:
    """The server's application for runs and captures at some places.

    Args:
        labels: what views are tagged with; the usual ones if there are none.
    """

    def make() -> tuple[ASGIApp, Callable[[], None]]:
        from .routes import make_answers

        return make_answers(paths, labels)

    answers = Later(make)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        answers.close()

    def index(_: Request) -> Response:
        page = _page_file("index.html")
        page.background = BackgroundTask(answers.made)
        return page

    return Starlette(
        routes=[Route("/", index), Route("/page/{file}", _file), Mount("/", answers)],
        middleware=[Middleware(AccessGuard, access=access)],
        lifespan=lifespan,
    )


class Later:
    """An application that is made in a thread, when something is asked of it, or before; with what closes it."""

    def __init__(self, make: Callable[[], tuple[ASGIApp, Callable[[], None]]]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._app: ASGIApp | None = None
        self._close: Callable[[], None] | None = None

    def made(self) -> ASGIApp:
        """The application."""
        with self._lock:
            if self._app is None:
                self._app, self._close = self._make()
            return self._app

    def close(self) -> None:
        """Closes it, if it was made."""
        with self._lock:
            if self._close is not None:
                self._close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = await run_in_threadpool(self.made) if self._app is None else self._app
        await app(scope, receive, send)


def _file(request: Request) -> Response:
    return _page_file(request.path_params["file"])


def _page_file(name: str) -> Response:
    known = {each.name: each for folder in (PLAYER, PAGE) for each in folder.iterdir()}
    kind = TYPES.get(Path(name).suffix)
    if name not in known or kind is None:
        return Response("not found", 404)
    return Response(known[name].read_bytes(), headers={"Cache-Control": "no-cache", "Content-Type": kind})
