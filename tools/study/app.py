"""The page's server: pairs without names, and answers. It is guarded as the viewer is."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulacra.render.runtime.errors import InputError, UserError

from ..viewer.access import Access, AccessGuard
from .answers import add_answer, check_who, read_answers
from .pairs import Pair, order_of

PAGE = resources.files(__package__) / "page"
ICON = resources.files("simulacra.tools.viewer") / "page" / "icon.svg"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}  # fmt: skip
NOW = {"Cache-Control": "no-store"}
MOST_SENT = 4096


def make_study(pairs: Sequence[Pair], answers: Path, seed: int, access: Access) -> Starlette:
    """The application of a study."""
    routes = Routes(pairs, answers, seed)
    return Starlette(
        routes=[
            Route("/", lambda _: _page_file("index.html")),
            Route("/page/{file}", lambda request: _page_file(request.path_params["file"])),
            Route("/api/bout", routes.bout),
            Route("/api/answer", routes.answer, methods=["POST"]),
            Route("/picture/{bout}/{which}", routes.picture),
        ],
        middleware=[Middleware(AccessGuard, access=access)],
        exception_handlers={UserError: _say},
    )


class Routes:
    """One method a route. A bout's name in the browser says nothing of the runs, nor of the side that each is on."""

    def __init__(self, pairs: Sequence[Pair], answers: Path, seed: int) -> None:
        self._pairs, self._answers, self._seed = list(pairs), answers, seed
        self._secret, self._lock = secrets.token_bytes(16), threading.Lock()
        self._shown: dict[str, tuple[str, int, bool]] = {}

    def bout(self, request: Request) -> Response:
        """The first pair that a person has not answered."""
        return JSONResponse(self._next(check_who(request.query_params.get("who", ""))), headers=NOW)

    async def answer(self, request: Request) -> Response:
        content = await request.body()
        try:
            said = json.loads(content) if len(content) <= MOST_SENT else None
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise InputError("an answer is a small JSON object")
        return JSONResponse(await run_in_threadpool(self._take, said), headers=NOW)

    def _take(self, said: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            who, place, is_a_left = self._known(said.get("bout"))
            add_answer(
                self._answers,
                self._pairs[place],
                who,
                self._seed,
                is_a_left,
                said.get("answer"),
                said.get("seconds"),
            )
        return self._next(who)

    def picture(self, request: Request) -> Response:
        """The photograph, or the render of a side."""
        _, place, is_a_left = self._known(request.path_params["bout"])
        which = request.path_params["which"]
        if which not in ("left", "right", "photo"):
            raise InputError("a picture is left, right or photo", found=which[:40])
        side = which if which == "photo" else "a" if (which == "left") == is_a_left else "b"
        content = self._pairs[place].picture(side).read_bytes()
        return Response(content, media_type="image/png", headers=NOW)

    def _next(self, who: str) -> dict[str, Any]:
        said, _ = read_answers(self._answers, self._pairs)
        done = {(answer.a, answer.b, answer.camera, answer.frame) for answer in said if answer.who == who}
        order = order_of(self._pairs, who, self._seed)
        answered = [(place, left) for place, left in order if self._pairs[place].key in done]
        left_over = [(place, left) for place, left in order if self._pairs[place].key not in done]
        return {
            "bout": self._name(who, *left_over[0]) if left_over else None,
            "before": self._name(who, *answered[-1]) if answered else None,
            "done": len(answered),
            "of": len(order),
        }

    def _name(self, who: str, place: int, is_a_left: bool) -> str:
        told = f"{place} {who}".encode()
        name = hmac.new(self._secret, told, hashlib.sha256).hexdigest()[:24]
        self._shown[name] = (who, place, is_a_left)
        return name

    def _known(self, name: object) -> tuple[str, int, bool]:
        if not isinstance(name, str) or name not in self._shown:
            raise InputError("this pair was not shown; load the page again")
        return self._shown[name]


def _say(_: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    return JSONResponse({"error": error.what}, 404, NOW)


def _page_file(name: str) -> Response:
    known = {each.name: each for each in (*PAGE.iterdir(), ICON)}
    kind = TYPES.get(Path(name).suffix)
    if name not in known or kind is None:
        return Response("not found", 404)
    return Response(known[name].read_bytes(), headers={"Cache-Control": "no-cache", "Content-Type": kind})
