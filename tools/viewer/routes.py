"""The routes for JSON and pictures. Everything is read but for tags."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulacra.render.runtime.errors import InputError, RunError, UserError

from . import measures, tags
from .layers import missing_layers
from .pictures import FULL_SCALE, color_ramp, encode
from .studio import Studio
from .summary import Summary, summary_json

# Content that is named by its state never changes.
FOREVER = {"Cache-Control": "private, max-age=86400, immutable"}
NOW = {"Cache-Control": "no-store"}
MOST_ROWS, MOST_RUNS = 5000, 200


def make_answers(paths: Sequence[Path], labels: Sequence[str]) -> tuple[Starlette, Callable[[], None]]:
    """What is asked of the server but for its page, and what ends its work beside the requests.

    Args:
        labels: what views are tagged with; the usual ones if there are none.
    """
    studio = Studio(paths)
    routes = Routes(studio, tuple(labels) or tags.LABELS)
    app = Starlette(
        routes=[
            Route("/api/index", routes.index),
            Route("/api/entry/{id}", routes.entry),
            Route("/api/entry/{id}/checks", routes.checked),
            Route("/api/entry/{id}/prepare", routes.prepare),
            Route("/api/entry/{id}/strip", routes.strip),
            Route("/api/entry/{id}/numbers/{camera}/{frame:int}", routes.numbers),
            Route("/api/entry/{id}/inspection", routes.inspection),
            Route("/api/entry/{id}/inspection/{camera}", routes.inspected),
            Route("/api/worst", routes.worst),
            Route("/api/tags", routes.tags),
            Route("/api/tags/{id}", routes.add_tag, methods=["POST"]),
            Route("/picture/{id}/{layer}/{camera}/{frame:int}", routes.picture),
            Route("/scene/{id}/{part}/{frame:int}", routes.scene),
            Route("/play/{id}", routes.play),
            Route("/play/{id}/{what}", routes.played, methods=["POST"]),
        ],
        exception_handlers={UserError: _say, OSError: _say_disk_error},
    )
    return app, studio.preparation.close


def _say(_: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    status = 409 if isinstance(error, RunError) else 404
    return JSONResponse({"error": error.what, "lines": error.lines()}, status, NOW)


def _say_disk_error(request: Request, error: Exception) -> Response:
    """Of a run that goes while it is read, for instance."""
    assert isinstance(error, OSError)
    return _say(request, RunError("a file cannot be read", where=error.filename, found=error.strerror))


class Routes:
    """One method a route."""

    def __init__(self, studio: Studio, labels: tuple[str, ...]) -> None:
        self._studio, self._labels = studio, labels

    def index(self, _: Request) -> Response:
        entries = self._studio.look_again()
        roots = [(entry.name, entry.path) for entry in entries]
        used = dict.fromkeys(tag["tag"] for tag in tags.chosen_tags(roots))
        ramps = {name: color_ramp(name) for name in ("inside", "outline", "depth")}
        return JSONResponse(
            {
                "entries": [{"id": e.id, "name": e.name, "kind": e.kind} for e in entries],
                "labels": [*self._labels, *(label for label in used if label not in self._labels)],
                "regions": list(measures.REGIONS),
                "ramps": ramps,
                "full_scale": FULL_SCALE,
            },
            headers=NOW,
        )

    def entry(self, request: Request) -> Response:
        summary = self._summary(request)
        return JSONResponse(summary_json(summary) | {"missing": missing_layers(summary)}, headers=NOW)

    def checked(self, request: Request) -> Response:
        summary = self._summary(request)
        found, done = self._studio.checks.found(summary.entry.path, summary.stamp)
        return JSONResponse({"stages": found, "done": done or summary.entry.kind == "session"}, headers=NOW)

    def prepare(self, request: Request) -> Response:
        return JSONResponse(self._studio.prepare(self._summary(request)), headers=NOW)

    def strip(self, request: Request) -> Response:
        asked = request.query_params
        found = measures.strips(self._summary(request), asked.get("metric", ""), asked.get("region", ""))
        return JSONResponse(found, headers=NOW)

    def worst(self, request: Request) -> Response:
        asked = request.query_params
        summaries = [s for name in asked.get("ids", "").split(",")[:MOST_RUNS] if (s := self._there(name))]
        rows = measures.worst(
            summaries,
            asked.get("metric", ""),
            asked.get("region", ""),
            asked.get("camera") or None,
            _count(asked.get("most"), 200),
            _count(asked.get("each"), MOST_ROWS),
            self._studio.region_scores,
        )
        return JSONResponse({"rows": rows}, headers=NOW)

    def numbers(self, request: Request) -> Response:
        camera, frame = request.path_params["camera"], request.path_params["frame"]
        wants_depth = request.query_params.get("depth") == "1"
        found = self._studio.numbers(self._summary(request), camera, frame, wants_depth)
        return JSONResponse(found, headers=NOW)

    def picture(self, request: Request) -> Response:
        where, asked = request.path_params, request.query_params
        other = asked.get("other")
        content, kind = self._studio.picture(
            self._summary(request),
            where["layer"],
            where["camera"],
            where["frame"],
            _count(asked.get("side"), 0),
            part=asked.get("part", "both"),
            other=self._studio.summary(other) if other else None,
        )
        return Response(content, media_type=f"image/{'jpeg' if kind == 'jpg' else kind}", headers=FOREVER)

    def tags(self, request: Request) -> Response:
        names = request.query_params.get("ids", "").split(",")[:MOST_RUNS]
        entries = [self._studio.entry(name) for name in names if name]
        return JSONResponse({entry.id: tags.read_tags(entry.path) for entry in entries}, headers=NOW)

    async def add_tag(self, request: Request) -> Response:
        entry = self._studio.entry(request.path_params["id"])
        tag = tags.make_tag(await _json(request))
        await run_in_threadpool(tags.append_tag, entry.path, tag)
        return JSONResponse(tag, 201, NOW)

    def scene(self, request: Request) -> Response:
        from .scene import cloud, scene_part

        summary, asked = self._summary(request), request.query_params
        part, frame = request.path_params["part"], request.path_params["frame"]
        camera = asked.get("camera")
        if summary.entry.kind == "session" and part == "cloud":
            content = cloud(self._studio.photographs(summary), frame, camera or "")
        else:
            scored = list(dict.fromkeys(name for name, _ in summary.scored))
            content = scene_part(self._studio.drawn(summary), part, frame, camera, scored)
        return Response(content, media_type="application/octet-stream", headers=FOREVER)

    def play(self, request: Request) -> Response:
        from .play import play_facts

        return JSONResponse(play_facts(self._studio.drawn(self._summary(request))), headers=NOW)

    async def played(self, request: Request) -> Response:
        what = request.path_params["what"]
        if what == "motion":
            content = await request.body()
            return await run_in_threadpool(self._add_motion, request, content)
        return await run_in_threadpool(self._draw, request, what, await _json(request))

    def _add_motion(self, request: Request, content: bytes) -> Response:
        from .play import add_motion

        run = self._studio.drawn(self._summary(request))
        return JSONResponse(add_motion(self._motions, run, content), headers=NOW)

    def _draw(self, request: Request, what: str, asked: dict[str, Any]) -> Response:
        from .play import draw_clip, draw_pose

        run = self._studio.drawn(self._summary(request))
        if what == "picture":
            return Response(encode(draw_pose(self._motions, run, asked)), media_type="image/png", headers=NOW)
        if what == "clip":
            return Response(draw_clip(self._motions, run, asked), media_type="video/mp4", headers=NOW)
        if what == "splats":
            return Response(_posed_splats(self._motions, run, asked), headers=NOW)
        raise InputError("there is nothing of this name", found=what[:80])

    @cached_property
    def _motions(self) -> Any:
        from .play import Motions

        return Motions.none()

    def inspection(self, request: Request) -> Response:
        root, stamp = self._captured(request)
        if request.query_params.get("start") == "1":
            self._inspections.start(root, stamp)
        return JSONResponse(self._inspections.state(root, stamp), headers=NOW)

    def inspected(self, request: Request) -> Response:
        root, stamp = self._captured(request)
        picture = self._inspections.picture(root, stamp, request.path_params["camera"])
        return Response(encode(picture), media_type="image/png", headers=NOW)

    @cached_property
    def _inspections(self) -> Any:
        from .inspection import CaptureInspections

        return CaptureInspections()

    def _captured(self, request: Request) -> tuple[Path, str]:
        summary = self._summary(request)
        if summary.session is None:
            raise InputError("the capture of this run has gone", where=summary.entry.path)
        return summary.session, summary.stamp

    def _summary(self, request: Request) -> Summary:
        return self._studio.summary(request.path_params["id"])

    def _there(self, name: str) -> Summary | None:
        """None for one that has gone: lists over many runs go on without it."""
        try:
            return self._studio.summary(name)
        except UserError:
            return None


def _posed_splats(motions: Any, run: Any, asked: dict[str, Any]) -> bytes:
    from .play import posed_gaussians
    from .scene import OUTLINE_EPS2D, pack, splat_arrays

    return pack(splat_arrays(posed_gaussians(motions, run, asked)), {"eps2d": OUTLINE_EPS2D})


async def _json(request: Request) -> dict[str, Any]:
    try:
        said = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise InputError("a request is not JSON", found=error) from error
    if not isinstance(said, dict):
        raise InputError("a request is not a JSON object")
    return said


def _count(text: str | None, otherwise: int) -> int:
    return min(MOST_ROWS, int(text)) if text and text.isdecimal() and len(text) < 8 else otherwise
