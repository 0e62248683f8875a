"""What `simulacra` says of itself: its commands on one screen, and the command that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from simulacra.render.runtime.errors import ConfigError

# The commands, in the order of use, each in a line that fits 80 columns.
COMMAND_GROUPS = {
    "From a capture to an avatar": {
        "demo": "all of it on a real capture, with nothing to prepare",
        "assets": "fetch the outside files: networks, body, the demo's capture",
        "import": "make a session out of a capture",
        "check": "is the session usable? what is wrong, and what to do",
        "reconstruct": "make an avatar and a report out of a session",
        "evaluate": "score a run again, or on other cameras",
        "view": "look at runs and captures in a browser, compare and tag",
        "runs": "list runs: what differs, scores; ask SQL of them",
        "sweep": "reconstruct with several values of some settings, and compare",
        "batch": "reconstruct many sessions, on all cores or on a cluster",
        "analyse": "what makes scores differ: subjects, cameras, a setting",
        "compare": "runs side by side: paired differences, worst views",
        "perception": "ask people which render is better, and which metrics agree",
        "animate": "move the avatar by a motion file, as a video",
        "export": "write the avatar for other programs, or as a page that plays",
    },
    "Beside them": {
        "calibrate": "cameras by boards and by people, clocks by motion",
        "synchronise": "bring cameras that were started one by one onto one clock",
        "export-session": "write a session for COLMAP or nerfstudio",
        "validate": "is an .avatar file whole? what is in it?",
        "repair": "say what is in a damaged run, and remove what cannot be used",
    },
    "Without a capture": {
        "stage": "record a virtual capture whose truth is known",
        "stage-people": "a sheet of virtual people",
        "stage-sensors": "virtual depth sensors beside real ones",
        "design": "what would this rig give, before it is bought?",
    },
    "This installation": {
        "body": "check your own copy of SMPL-X, and say how well it fits",
        "warmup": "do the one-off work now: bake the body, compile the kernels",
        "bench": "how fast it is here",
        "version": "of simulacra, and of the libraries that its numbers depend on",
    },
}


def overview() -> str:
    """The main help: every command in a line, and where more is said."""
    lines = ["usage: simulacra COMMAND ...      simulacra COMMAND --help says more"]
    lines += ["From captured people to drivable Gaussian avatars, on any machine.", ""]
    for title, commands in COMMAND_GROUPS.items():
        lines += [title, *(f"  {name:16s}{said}" for name, said in commands.items())]
    lines += ["", "  -h, --help      this help", "  --version       the version, in a line", ""]
    lines += ["Completion for bash (zsh and fish likewise):"]
    lines += ["  simulacra --tyro-print-completion bash \\"]
    lines += ["    > ~/.local/share/bash-completion/completions/simulacra"]
    return "\n".join(lines)


def refuse_unknown(word: str, known: Iterable[str], family: str = "") -> None:
    """Refuses a word that is none of the known commands, and names the nearest.

    Args:
        family: the command that they are of; "" for the program's own.

    Raises:
        ConfigError: it is none of them.
    """
    names = list(known)
    if word in names:
        return
    near = difflib.get_close_matches(word, names, n=1)
    raise ConfigError(
        "There is no such command",
        expected=f"{near[0]}, perhaps" if near else ", ".join(names),
        found=f"simulacra {family} {word}" if family else f"simulacra {word}",
        remedy=f"see `simulacra {family} --help`" if family else "see `simulacra --help`",
    )
