"""What a training says of its own result: how much of it somebody saw, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulacra.recon.runs.files import read_json

if TYPE_CHECKING:
    from .content import Note

# The account of a training, in its stage's folder (`recon.avatar.record.ACCOUNT`, which loads PyTorch).
ACCOUNT = "training.json"
# More of the person's pixels than this show a crack or a back: worth a warning. Of virtual people less do.
MUCH = 0.02


def avatar_notes(folder: Path) -> tuple[Note, ...]:
    """Notes on what was seen and what is wrong, in sentences; none of runs of earlier versions.

    Args:
        folder: of the avatar stage.
    """
    if not (folder / ACCOUNT).is_file():
        return ()
    account = read_json(folder / ACCOUNT)
    return (*_seen(account), *_faults(account))


def _seen(account: Mapping[str, Any]) -> tuple[Note, ...]:
    from .content import Note

    if "seen_share" not in account:
        return ()
    what = "vertices" if "vertices" in account else "Gaussians"
    text = (
        f"{100 * float(account['seen_share']):.1f} % of the {what} were seen in some training view: the rest is a "
        "guess, in colors of the other side or of its surroundings. `--unseen neutral` shows it gray, `--unseen drop` "
        "leaves it out."
    )
    return (Note("info", text),)


def _faults(account: Mapping[str, Any]) -> tuple[Note, ...]:
    from .content import Note

    faults = account.get("faults")
    if not faults:
        return ()
    text = (
        f"Faults: {int(faults['spikes'])} spikes, {int(faults['floaters'])} floating Gaussians in "
        f"{int(faults['floater_clusters'])} clusters; of the person's pixels in training views "
        f"{_percent(faults['cracks'])} are cracks and {_percent(faults['see_through'])} show through"
    )
    shares = [float(faults["cracks"]), float(faults["see_through"])]
    if faults.get("cracks_at_rest") is not None:
        rest = [float(faults["cracks_at_rest"]), float(faults["see_through_at_rest"])]
        text += f", at rest from all round {_percent(rest[0])} and {_percent(rest[1])}"
        shares += rest
    return (Note("warning" if max(shares) > MUCH else "info", f"{text}."),)


def _percent(share: float) -> str:
    return f"{100 * float(share):.2f} %"
