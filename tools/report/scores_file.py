"""What a report takes metrics.json to hold, checked before anything is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pydantic

from simulacra.recon.runs.files import read_json
from simulacra.recon.runs.records import record_errors

# Part of the names of pictures: no way out of their folder.
_Camera = Annotated[str, pydantic.Field(pattern=r"^[^/\\]*$", max_length=200)]
_Number = Annotated[float, pydantic.Field(allow_inf_nan=False)]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)


class _View(_Strict):
    camera: _Camera
    frame: int
    seen_in_training: bool


class _Value(_Strict):
    camera: _Camera | None
    frame: int
    value: _Number


class _Score(_Strict):
    mean: _Number | None
    per_camera: dict[_Camera, _Number]
    std: _Number | None
    interval_95: Annotated[list[_Number], pydantic.Field(min_length=2, max_length=2)] | None
    count: int
    unit: str
    better: str
    reason: str | None
    views: list[_Value]
    missing: list[dict[str, Any]]
    with_poses_of_the_fit: _Number | None = None


class _Overlap(_Strict):
    mean: _Number | None
    per_camera: dict[_Camera, _Number]
    count: int
    views: list[_Value]


class _Region(_Overlap):
    mask_iou: _Overlap | None = None


class _HeldOut(_Strict):
    views: list[_View]


class _Reference(_Strict):
    metric: str
    value: _Number
    source: str


class _Protocol(_Strict):
    statement: str
    locked: bool
    seen_in_training: bool


class _Metrics(_Strict):
    protocol: _Protocol
    held_out: _HeldOut
    scores: dict[str, _Score]
    settings: dict[str, Any]
    references: list[_Reference] = []
    regions: dict[str, _Region] = {}


def read_scores(path: Path) -> dict[str, Any]:
    """An evaluation's metrics.json.

    Raises:
        RunError: it is missing or damaged, or holds something else.
    """
    content = read_json(path)
    with record_errors(path):
        _Metrics.model_validate(content)
    return content
