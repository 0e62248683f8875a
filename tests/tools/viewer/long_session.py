"""A capture of many small frames, and the viewer's memory while somebody steps through it.

    python -m tests.tools.viewer.long_session FRAMES STEPS

Prints resident memory of the server before the first picture, and after a tenth of the steps and all of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from simulacra.recon.session import SessionCamera, Source, describe_session
from simulacra.recon.session.record import Frame
from tests.tools.viewer.serving import get, get_json

SIZE = 96


def long_session(root: Path, frames: int) -> Path:
    """One camera, whose pictures are noise, so that each is another and none is small."""
    rng = np.random.default_rng(0)
    (root / "images" / "a").mkdir(parents=True)
    for frame in range(frames):
        noise = rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)
        assert cv2.imwrite(str(root / "images" / "a" / f"{frame:06d}.png"), noise)
    K = np.array([[100.0, 0, SIZE / 2], [0, 100.0, SIZE / 2], [0, 0, 1]])
    camera = SessionCamera("a", SIZE, SIZE, K, np.eye(4))
    described = [Frame(f, {"a": Source(f"images/a/{f:06d}.png")}) for f in range(frames)]
    (root / "session.json").write_text(describe_session([camera], described, notes=[], about={}))
    return root


def step_through(address: str, name: str, frames: range) -> None:
    """Asks for what the page asks for at a step."""
    for frame in frames:
        assert get(f"{address}/picture/{name}/photo/a/{frame}")[0] == 200
        get_json(f"{address}/api/entry/{name}/numbers/a/{frame}")


def resident_mb(process: int | str) -> float:
    """Of a process, Linux."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("frames", type=int)
    parser.add_argument("steps", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = long_session(Path(folder) / "session", given.frames)
        command = [sys.executable, "-m", "simulacra.tools.cli", "view", str(root)]
        viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert viewer.stdout is not None
            words = (word for line in viewer.stdout for word in line.split())
            address = next(word for word in words if word.startswith("http")).rstrip("/")
            name = get_json(f"{address}/api/index")["entries"][0]["id"]
            while get_json(f"{address}/api/entry/{name}/prepare")["doing"]:
                time.sleep(0.5)
            print(f"before: {resident_mb(viewer.pid):.0f} MiB")
            begun, done = time.perf_counter(), 0
            spread = np.linspace(0, given.frames - 1, given.steps).astype(int).tolist()
            for until in (given.steps // 10, given.steps):
                for frame in spread[done:until]:
                    step_through(address, name, range(frame, frame + 1))
                done = until
                mean = (time.perf_counter() - begun) / done * 1000
                print(f"after {done} steps: {resident_mb(viewer.pid):.0f} MiB, {mean:.0f} ms a step")
        finally:
            viewer.terminate()
            viewer.wait()


if __name__ == "__main__":
    main()
