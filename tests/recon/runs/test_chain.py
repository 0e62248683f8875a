"""Records that are opened are what was written, and belong together; every byte that is not so is said."""

import json
import shutil
from pathlib import Path

import pytest

from simulacra.recon.runs.chain import check_records, finished_stages
from simulacra.recon.runs.files import write_json
from simulacra.recon.runs.run_folder import open_run
from simulacra.recon.runs.stages import run_stage
from simulacra.render.runtime.errors import RunError


def make_run(root: Path, value: int) -> Path:
    """A fit, and an avatar made of it."""
    run = open_run(root, "abc")

    def make(name: str, inputs: dict[str, str]) -> str:
        _, result = run_stage(
            run, name, version=1, config={"value": value, "sizes": [1, 2.5]}, inputs={"session": "abc", **inputs},
            compute=lambda folder: write_json(folder / f"{name}.json", {"value": value}), load=lambda _: None,
        )  # fmt: skip
        return result.digest

    make("avatar", {"fit": make("fit", {})})
    return root


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", 1)


def test_a_run_as_it_was_made_is_opened(run: Path) -> None:
    assert finished_stages(run) == ("avatar", "fit")
    found = check_records(run, finished_stages(run))
    assert found["avatar"]["inputs"]["fit"] == found["fit"]["digest"]


def test_an_avatar_beside_the_fit_of_another_is_refused(run: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", 2)
    shutil.rmtree(run / "fit")
    shutil.copytree(other / "fit", run / "fit")
    with pytest.raises(
        RunError, match=r"avatar was made of another fit[\s\S]*expected[\s\S]*found[\s\S]*reconstruct"
    ):
        check_records(run, ["avatar"])
    check_records(run, ["fit"])  # which is whole


@pytest.mark.parametrize("name", ["fit/fit.json", "avatar/avatar.json"])
def test_a_flipped_bit_of_any_byte_of_a_record_is_found(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        (run / name).write_bytes(changed)
        with pytest.raises(RunError, match="content of the stage"):
            check_records(run, ("avatar", "fit"))


def test_a_flipped_bit_of_a_description_is_found_or_only_of_its_timing(run: Path) -> None:
    path = run / "avatar/stage.json"
    content = path.read_bytes()
    whole = json.loads(content)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        try:
            found = check_records(run, ("avatar", "fit"))["avatar"]
        except RunError:
            continue
        said = ("key", "digest", "version", "config", "inputs")
        assert {name: found[name] for name in said} == {name: whole[name] for name in said}


def test_a_stage_that_was_removed_is_named(run: Path) -> None:
    shutil.rmtree(run / "fit")
    check_records(run, ["avatar"])
    with pytest.raises(RunError, match=r"stage fit is not in this run[\s\S]*reconstruct"):
        check_records(run, ["avatar", "fit"])


@pytest.mark.parametrize(
    "left", ["", "[]", "{}", '{"key": 1, "digest": 2, "version": 1, "config": {}, "inputs": 3}']
)
def test_a_damaged_description_is_named(run: Path, left: str) -> None:
    (run / "avatar/stage.json").write_text(left)
    with pytest.raises(RunError, match=r"cannot be read|damaged"):
        check_records(run, ["avatar"])
