"""A server for a while, a client without a browser, and runs whose scores and pictures are known."""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import uvicorn
from starlette.types import ASGIApp

from simulacra.recon.runs.stages import digest_folder, stage_key
from simulacra.tools.viewer.access import Access
from simulacra.tools.viewer.app import make_app

SIZE = 64


@contextlib.contextmanager
def served(paths: Sequence[Path], labels: Sequence[str] = (), access: Access | None = None) -> Iterator[str]:
    """The address of a viewer of runs and captures."""
    with served_app(make_app(paths, labels, access or Access())) as address:
        yield address


@contextlib.contextmanager
def served_app(app: ASGIApp) -> Iterator[str]:
    """The address of an application."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
        # The server's loop ends before connections that a browser keeps are closed: not a test's business.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del server, app
            gc.collect()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def get(
    address: str, headers: Mapping[str, str] | None = None, body: Any = None
) -> tuple[int, bytes, Mapping[str, str]]:
    """Status, content and headers of an answer; a body is sent as JSON, from the server's own page unless said."""
    sent = dict(headers or {})
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    if data is not None:
        sent.setdefault("Origin", "/".join(address.split("/")[:3]))
    asked = urllib.request.Request(address, data, sent)
    try:
        with urllib.request.build_opener(NoRedirect).open(asked, timeout=60) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def get_json(address: str, body: Any = None) -> Any:
    """What an address says, which is there."""
    status, content, _ = get(address, body=body)
    assert status < 300, content
    return json.loads(content)


def ids_of(address: str) -> dict[str, str]:
    """The ids of what is shown, by name."""
    return {entry["name"]: entry["id"] for entry in get_json(f"{address}/api/index")["entries"]}


def person(shift: int = 0, level: int = 120) -> np.ndarray:
    """A gray figure over black."""
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[10:54, 22 + shift : 42 + shift] = level
    return picture


def write_png(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1])


def write_scored_run(root: Path, views: Mapping[tuple[str, int], float], shift: int = 1) -> Path:
    """A run of which there are scores and pictures, and nothing that needs a body. Views by PSNR."""
    folder = root / "evaluate"
    for camera, frame in views:
        write_png(folder / "views" / f"{camera}_{frame:06d}_photo.png", person())
        write_png(folder / "views" / f"{camera}_{frame:06d}_render.png", person(shift))
    values = [{"camera": c, "frame": f, "value": v} for (c, f), v in views.items()]
    metrics = {
        "held_out": {"views": [{"camera": c, "frame": f, "seen_in_training": False} for c, f in views]},
        "scores": {
            "psnr_fg": {
                "mean": float(np.mean(list(views.values()))),
                "unit": "dB",
                "better": "higher",
                "views": values,
            }
        },
        "settings": {"longest_side": SIZE},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_stage(root, "evaluate")
    (root / "run.json").write_text(json.dumps({"schema": 1, "session_fingerprint": "x", "config": {}}))
    return root


def write_stage(root: Path, name: str) -> None:
    """The description of a stage that is there."""
    described = {"version": 1, "config": {}, "inputs": {}, "seconds": 0.0, "peak_mb": 0.0}
    key, digest = stage_key(name, 1, {}, {}), digest_folder(root / name)
    (root / name / "stage.json").write_text(json.dumps(described | {"key": key, "digest": digest}))


def copy_run(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    return to
