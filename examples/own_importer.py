"""An importer of one's own: `python examples/own_importer.py CAPTURE SESSION`.

The layout is made up: `CAPTURE/CAMERA/FRAME.png` and `CAPTURE/rig.json`, a list of `name`, `focal_px`, `center_m` and
`right_up_back` (rows: the camera's axes in the world, as OpenGL has them), z up. Sessions are y up, axes OpenCV's.
"""

import json
from pathlib import Path

import numpy as np
import tyro

from simulacra.recon.importers.building import copy_file, new_session_folder, upright, write_session
from simulacra.recon.session import Frame, Session, SessionCamera, Source, load_session
from simulacra.render.image import read_image
from simulacra.render.runtime.errors import CalibrationError


def main(capture: Path, session: Path) -> Session:
    """Returns the session; a capture that cannot be read leaves nothing behind."""
    turn, cameras, sources = upright("+z"), [], {}  # the world's z to our y
    with new_session_folder(session) as folder:
        for entry in json.loads((capture / "rig.json").read_text()):
            name, focal = entry["name"], entry["focal_px"]
            if not (files := sorted((capture / name).glob("*.png"))):
                raise CalibrationError("a camera of the rig has no pictures", where=capture / name)
            height, width = read_image(files[0]).shape[:2]
            K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
            R = np.diag([1.0, -1.0, -1.0]) @ entry["right_up_back"]  # OpenGL's axes to OpenCV's
            T = np.block([[R, (-R @ entry["center_m"])[:, None]], [0, 0, 0, 1]])  # camera from world
            cameras.append(SessionCamera(name, width, height, K, T @ np.linalg.inv(turn)))
            for file in files:
                copy_file(file, folder / "images" / name / file.name, within=capture)
                sources.setdefault(int(file.stem), {})[name] = Source(f"images/{name}/{file.name}")
        facts = {"importer": "own", "arguments": {}, "notes": [], "T_world_source": turn, "source": capture}
        write_session(folder, cameras, [Frame(index, sources[index]) for index in sorted(sources)], **facts)
    return load_session(session)


if __name__ == "__main__":
    print(f"written: {tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,)).root}")
