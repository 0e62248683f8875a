"""`simulacra analyse`: what makes the scores of many runs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval
from tyro.conf import arg

from .runs import Database, Folder

if TYPE_CHECKING:
    from ..analysis.components import Component
    from ..analysis.paired import Difference

Score = Annotated[str, arg(metavar="SCORE")]
Condition = Annotated[str, arg(metavar="SQL")]
SettingName = Annotated[str | None, arg(metavar="NAME")]
Wanted = Annotated[float, Interval(ge=0, le=1_000_000)]


def analyse(
    folder: Folder,
    /,
    score: Score = "psnr_fg",
    compare: SettingName = None,
    see: Wanted = 0.0,
    where: Condition = "",
    database: Database = None,
) -> None:
    """Say what makes the scores of many runs differ: subjects, sessions, cameras; or a setting.

    Without --compare: how much of the variance is of each, with 95 % intervals, for equally many sessions of each
    subject and the same cameras in all. With it: each value of a setting against the first, over the sessions that both
    were made of, corrected for that there are several. Needs the extra `database`.

    Args:
        folder: in which the runs are, a few folders deep.
        score: a number of views: psnr_fg, hands_psnr and so on (docs/database.md).
        compare: the dotted name of a setting, as avatar.steps.
        see: a difference; how many subjects it takes to see that is said too.
        where: an SQL condition that runs have to meet: "config = 'studio_rgbd'".
        database: the folder of the database; `.database` among the runs if not given.
    """
    from ..analysis.questions import components_of, settings_of
    from .runs import updated

    runs = updated(folder, database, update=True, rebuild=False)
    if compare is None:
        _say_components(components_of(runs, score, where), score)
    else:
        _say_differences(settings_of(runs, score, compare, where), score, see)


def _say_components(parts: dict[str, Component], score: str) -> None:
    whole = sum(max(part.variance, 0.0) for part in parts.values())
    print(f"standard deviations of {score} (95 % interval), share of the variance")
    for part in parts.values():
        low, high = (end**0.5 for end in part.interval)
        share = 100 * max(part.variance, 0.0) / whole if whole else 0.0
        told = "" if part.probability is None or part.probability < 0.05 else "  not told from nothing"
        print(
            f"  {part.name:8s} {part.deviation:8.3f} ({low:.3f} to {high:.3f})  {share:3.0f} %, "
            f"{part.freedom} degrees of freedom{told}"
        )


def _say_differences(found: dict[str, Difference], score: str, see: float) -> None:
    from ..analysis.paired import sessions_needed

    print(f"differences of {score} (95 % interval), probability by chance, corrected for {len(found)}")
    for name, each in found.items():
        low, high = each.interval
        told = "differs" if each.corrected < 0.05 else "not told apart"
        print(
            f"  {name}: {each.mean:+.4g} ({low:+.4g} to {high:+.4g}), {each.clusters} subjects, "
            f"p {each.corrected:.2g}: {told}"
        )
        if see > 0:
            needed = sessions_needed(see, each.deviation)
            print(f"    to see {see:g} in 4 of 5 cases it takes {needed} subjects")
