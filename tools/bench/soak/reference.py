"""What every command gives in peace: made once, kept for later soaks of the same code."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .child import Child, Ending

LIMIT = 900.0
SETTINGS: dict[str, Any] = {
    "views": {"held_out_cameras": ["3"], "held_out_every": 2},
    "preflight": {"frames": 1, "motion_frames": 0},
    "observe": {"looks": 1, "face": False, "hands": False},
    "fit": {"iterations": 1, "rounds": 1, "mask_side": 64, "synchronise": {"enabled": False}},
    "refine": {"voxel_mm": 30.0, "truncation_mm": 90.0},
    "avatar": {
        "steps": 5, "align_steps": 4, "checkpoint_every": 2, "lining": 300, "longest_side": 96, "largest_mm": 90.0
    },
    "evaluate": {"view": {"longest_side": 96}, "pictures": 1, "turntable": 0},
}  # fmt: skip
# Another avatar on the same fit; another camera held out, so that nothing is the same.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "a": {},
    "b": {"avatar": {"steps": 6}},
    "c": {"views": {"held_out_cameras": ["0"]}},
}
STAGES = ("preflight", "observe", "fit", "refine", "avatar", "evaluate")
STAGE_OPTIONS = (
    "--frames 2 --fps 4 --rig.width 256 --rig.height-px 256 --files png --masks true --true-pictures false"
)
RUN = "out/run"


@dataclass(frozen=True)
class Command:
    """A command of the soak.

    Attributes:
        words: of its command line, run in a folder that holds what it needs.
        needs: the inputs that it is given there.
        gives: what it writes.
    """

    words: str
    needs: tuple[str, ...]
    gives: str


COMMANDS = {
    "reconstruct": Command(f"reconstruct session --config a.yaml --out {RUN}", ("session", "a.yaml"), RUN),
    "evaluate": Command(f"evaluate {RUN}", ("session", RUN), RUN),
    "evaluate-others": Command(f"evaluate {RUN} --held-out-cameras 1", ("session", RUN), f"{RUN}/evaluate_1"),
    "export": Command(f"export {RUN} --to ply --out out/a.ply", (RUN,), "out/a.ply"),
    "animate": Command(f"animate {RUN} motion.bvh --out out/a.mp4", (RUN, "motion.bvh"), "out/a.mp4"),
    "check": Command("check session --out out/check --frames 1", ("session",), "out/check"),
    "export-colmap": Command("export-session session --to colmap --out out/colmap", ("session",), "out/colmap"),
    "export-nerfstudio": Command(
        "export-session session --to nerfstudio --out out/capture", ("session",), "out/capture"
    ),
    "import": Command(
        "import nerfstudio capture out/imported --scale 1 --world-up +z", ("capture",), "out/imported"
    ),
    "stage": Command(
        "stage --out out/staged --rig.count 2 --frames 1 --rig.width 64 --rig.height-px 64 --files png"
        " --masks true --true-pictures false --depth.kind time_of_flight", (), "out/staged",
    ),
}  # fmt: skip
OF_RUN = ("reconstruct", "evaluate", "evaluate-others", "export", "animate")


@dataclass(frozen=True)
class StageState:
    """A stage of a run: what it is kept under, what it says of its content, and what its content is."""

    key: str
    said: str
    found: str


@dataclass(frozen=True)
class Reference:
    """What is made in peace.

    Attributes:
        root: the folder with the inputs, and the runs in `runs`.
        made: of each command, sha256 of its files by name.
        stages: of each configuration, its stages.
        avatars: sha256 of the exported avatar of each configuration.
        fingerprint: of the session.
        operations: how many a command does on files; under a stage's name, when it is in its place.
        sizes: of what a command writes, bytes.
        seconds: of each command; of the stages of a reconstruction, under their names.
    """

    root: Path
    made: dict[str, dict[str, str]]
    stages: dict[str, dict[str, StageState]]
    avatars: dict[str, str]
    fingerprint: str
    operations: dict[str, int]
    sizes: dict[str, int]
    seconds: dict[str, float]


def prepare(root: Path, say: Callable[[str], None]) -> Reference:
    """The reference in a folder, made where it is not there or of other code.

    Raises:
        RuntimeError: a command fails in peace, or gives other bytes than before.
    """
    kept, code = root / "reference.json", _digest_code()
    if kept.is_file():
        described = json.loads(kept.read_text("utf-8"))
        if described.pop("code") == code:
            stages = {
                name: {stage: StageState(**state) for stage, state in run.items()}
                for name, run in described.pop("stages").items()
            }
            return Reference(root, stages=stages, **described)
    shutil.rmtree(root, ignore_errors=True)
    (root / "out").mkdir(parents=True)
    made = _make(root, say)
    described = {k: v for k, v in dataclasses.asdict(made).items() if k != "root"}
    kept.write_text(json.dumps({"code": code, **described}, indent=1), "utf-8")
    return made


def _make(root: Path, say: Callable[[str], None]) -> Reference:
    endings: dict[str, Ending] = {}

    def run(name: str, words: str) -> None:
        endings[name] = Child(words, root).end(LIMIT)
        say(f"{name}: {endings[name].seconds:.1f} s")
        if endings[name].code:
            raise RuntimeError(f"in peace, {words}\n{endings[name].said}")

    write_inputs(root)
    run("session", f"stage --out session --rig.count 4 --depth.kind time_of_flight {STAGE_OPTIONS}")
    run("capture", "export-session session --to nerfstudio --out capture")
    avatars = {}
    for name in CONFIGURATIONS:
        words = COMMANDS["reconstruct"].words.replace("a.yaml", f"{name}.yaml")
        run(f"configuration {name}", words)
        run(f"avatar {name}", COMMANDS["export"].words)
        avatars[name] = digests(root / "out/a.ply")[""]
        (root / "out/a.ply").unlink()
        shutil.copytree(root / RUN, root / "runs" / name)
        shutil.rmtree(root / RUN)
    shutil.copytree(root / "runs/a", root / RUN)
    made, sizes = {}, {}
    for name, command in COMMANDS.items():
        if name != "reconstruct":
            run(name, command.words)
        made[name], sizes[name] = digests(root / command.gives), size_of(root / command.gives)
    endings["reconstruct"] = endings["configuration a"]
    operations = {name: len(ending.operations) for name, ending in endings.items()}
    for i, (kind, path, *_) in enumerate(endings["reconstruct"].operations):
        if kind == "rename" and (found := re.search(r"\.(\w+)\.work$", path)):
            operations[found[1]] = i + 1
    said = re.findall(r"^(\w+) +([\d.]+) s ", endings["reconstruct"].said, re.M)
    seconds = {name: ending.seconds for name, ending in endings.items()}
    seconds |= {name: float(number) for name, number in said}
    shutil.rmtree(root / "out")
    stages = {name: read_stages(root / "runs" / name) for name in CONFIGURATIONS}
    fingerprint = json.loads((root / "runs/a/run.json").read_text())["session_fingerprint"]
    return Reference(root, made, stages, avatars, fingerprint, operations, sizes, seconds)


def write_inputs(root: Path) -> None:
    """The configurations and a motion."""
    from simulacra.recon.preflight import CODES

    for name, changes in CONFIGURATIONS.items():
        # What a preflight makes of so small a session is no matter here.
        merged = SETTINGS | {"preflight": SETTINGS["preflight"] | {"ignore": list(CODES)}}
        merged |= {section: merged[section] | fields for section, fields in changes.items()}
        (root / f"{name}.yaml").write_text(yaml.safe_dump(merged), "utf-8")
    (root / "motion.bvh").write_text(sticks(), "utf-8")


def read_stages(run: Path) -> dict[str, StageState]:
    """The finished stages of a run whose description can be read."""
    from simulacra.recon.runs.run_folder import STAGE_FILE
    from simulacra.recon.runs.stages import digest_folder

    found = {}
    for name in STAGES:
        try:
            described = json.loads((run / name / STAGE_FILE).read_text("utf-8"))
            said = (str(described["key"]), str(described["digest"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found[name] = StageState(*said, digest_folder(run / name))
    return found


def digests(path: Path) -> dict[str, str]:
    """sha256 of a file, or of the files of a folder by name; what says when and how long is left out."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return {
        "" if each == path else each.relative_to(path).as_posix(): hashlib.sha256(_content(each)).hexdigest()
        for each in files
        if not _is_about_time(each.name)
    }


def size_of(path: Path) -> int:
    """Bytes of a file or of the files of a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)


def _is_about_time(name: str) -> bool:
    return name in ("run.json", "stage.json", "work.json") or name.startswith("report")


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix in (".html", ".json"):
        content = re.sub(rb"/[^\"'<> ]*/(?=session|capture|out/)", b"", content)
    return content


def _digest_code() -> str:
    """Of all files of the project that decide what a command gives; the soak's own do not, but this one."""
    import simulacra.recon as recon
    import simulacra.render as render
    import simulacra.tools as tools

    digest = hashlib.sha256(str(os.environ.get("OMP_NUM_THREADS")).encode())
    for package in (render, recon, tools):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            if path.parent != Path(__file__).parent or path == Path(__file__):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def sticks() -> str:
    """A BVH of a person of sticks, with CMU's names, who lifts an arm in three frames."""
    legs = {"UpLeg": (1, -0.5, 0), "Leg": (0, -4, 0), "Foot": (0, -4, 0), "ToeBase": (0, -0.5, 1.5)}
    arms = {"Shoulder": (0, 1, 0), "Arm": (1.5, 0, 0), "ForeArm": (3, 0, 0), "Hand": (2.5, 0, 0)}

    def chain(joints: list[tuple[str, tuple[float, ...]]], beside: str = "") -> str:
        if not joints:
            return beside or "End Site\n{\nOFFSET 0 0.5 0\n}\n"
        (name, offset), *rest = joints
        return (
            f"JOINT {name}\n{{\nOFFSET {' '.join(map(str, offset))}\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
            f"{chain(rest)}}}\n{beside}"
        )

    def limb(side: str, bones: Mapping[str, tuple[float, ...]]) -> str:
        sign = 1 if side == "Left" else -1
        return chain([(side + name, (sign * x, y, z)) for name, (x, y, z) in bones.items()])

    head = chain([("Neck", (0, 2, 0)), ("Neck1", (0, 0.5, 0)), ("Head", (0, 0.5, 0))])
    chest = head + limb("Left", arms) + limb("Right", arms)
    trunk = "".join(
        f"JOINT {name}\n{{\nOFFSET 0 1 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
        for name in ("LowerBack", "Spine", "Spine1")
    )
    body = f"{trunk}{chest}}}\n}}\n}}\n{limb('Left', legs)}{limb('Right', legs)}"
    joints = body.count("JOINT")
    lifted = body[: body.index("JOINT LeftArm")].count("JOINT")
    rows = "".join(
        f"0 10 0 0 0 0 {' '.join(f'{20 * i} 0 0' if joint == lifted else '0 0 0' for joint in range(joints))}\n"
        for i in range(3)
    )
    return (
        "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\n"
        "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
        f"{body}}}\nMOTION\nFrames: 3\nFrame Time: 0.0333333\n{rows}"
    )
