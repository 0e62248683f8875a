"""A session as data: exported by simulacra, split by its held-out cameras, read by nerfstudio's own dataparser.

Lenses are taken out, videos taken apart and masks brought along by `simulacra export-session`, whose `transforms.json`
nerfstudio reads. World and unit stay as they are: metres, +Z up, nothing is centred or scaled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.dataparsers.nerfstudio_dataparser import Nerfstudio, NerfstudioDataParserConfig
from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from .program import made_once


@dataclass
class SessionDataParserConfig(NerfstudioDataParserConfig):
    """A session of simulacra.

    Attributes:
        data: its folder.
        held_out: cameras that are evaluated and not trained on.
        frame: the moment, for static methods; all if None.
        cache: where exported sessions are kept.
    """

    _target: type = field(default_factory=lambda: SessionDataParser)
    held_out: tuple[str, ...] = ()
    frame: int | None = None
    cache: Path = Path("~/.cache/simulacra/nerfstudio")
    orientation_method: Literal["pca", "up", "vertical", "none"] = "none"
    center_method: Literal["poses", "focus", "none"] = "none"
    auto_scale_poses: bool = False


class SessionDataParser(Nerfstudio):
    """Exports, says which pictures are for what, and leaves the rest to nerfstudio."""

    config: SessionDataParserConfig

    def _generate_dataparser_outputs(self, split: str = "train") -> DataparserOutputs:
        self.config.data = export(self.config)
        return super()._generate_dataparser_outputs(split)


def export(config: SessionDataParserConfig) -> Path:
    """The exported session, its `transforms.json` with what is trained on and what is evaluated."""
    session = Path(config.data).expanduser().resolve()
    if not (session / "session.json").is_file():
        return session  # exported already
    content = (session / "session.json").read_bytes() + str((session, config.frame)).encode()
    key = hashlib.sha256(content).hexdigest()[:16]
    words = ["export-session", session, "--to", "nerfstudio"]
    words += [] if config.frame is None else ["--frame", config.frame]
    folder = made_once(Path(config.cache).expanduser() / f"{session.name}-{key}", *words)
    path = folder / "transforms.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps({**described, **split_files(described["frames"], config.held_out)}, indent=1))
    return folder


def split_files(frames: list, held_out: tuple[str, ...]) -> dict:
    """`train_filenames`, `val_filenames`, `test_filenames` of nerfstudio: pictures are called images/CAMERA/FRAME.

    Raises:
        ValueError: a camera that there is not, or none is left to train on.
    """
    cameras = {Path(frame["file_path"]).parent.name for frame in frames}
    if not set(held_out) < cameras:
        raise ValueError(
            f"held out are some of the cameras {', '.join(sorted(cameras))}, not {', '.join(held_out)}"
        )
    names = [frame["file_path"] for frame in frames]
    out = [name for name in names if Path(name).parent.name in held_out]
    # Without held-out cameras nerfstudio wants something to evaluate all the same.
    judged = out or names[:1]
    return {
        "train_filenames": [name for name in names if name not in out],
        "val_filenames": judged,
        "test_filenames": judged,
    }


specification = DataParserSpecification(
    config=SessionDataParserConfig(),
    description="a session of simulacra, in its own world, split by held-out cameras",
)
