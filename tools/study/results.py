"""What a study found, printed."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

from rich.console import Console
from rich.table import Table

from simulacra.render.runtime.errors import InputError

from ..commands.printing import plain
from .agreement import agreement, read_scores
from .answers import read_answers
from .pairs import compared_runs, find_pairs
from .strengths import fit_strengths


def print_results(paths: list[Path], answers_file: Path, console: Console) -> None:
    """Strengths of the runs and agreement of their metrics.

    Raises:
        InputError: nobody answered yet, or the runs cannot be compared.
        RunError: a run is damaged.
    """
    runs = compared_runs(paths)
    pairs = find_pairs(runs)
    answers, others = read_answers(answers_file, pairs)
    if not answers:
        raise InputError(
            "Nobody has answered for these renders yet", where=answers_file,
            found=f"{others} lines of others" if others else None,
            remedy="the same command without --results asks",
        )  # fmt: skip
    names = sorted({name for pair in pairs for name in (pair.a.name, pair.b.name)})
    strengths = fit_strengths(names, answers)
    people = len({answer.who for answer in answers})
    same = sum(answer.score == 0.5 for answer in answers)
    ignored = f"; {others} lines of other renders, or damaged, are left out" if others else ""
    console.print(
        f"{len(answers)} answers, {same} of them *same*, by {people} {'person' if people == 1 else 'people'}, "
        f"of {len(pairs)} pairs{ignored}."
    )
    table = Table("run", "strength (log odds)", "95 %", title="Which is more like the photograph")
    for place in sorted(range(len(names)), key=lambda i: -strengths.log_odds[i]):
        middle, half = strengths.log_odds[place], strengths.half_width[place]
        table.add_row(plain(names[place]), f"{middle:+.2f}", f"{middle - half:+.2f} to {middle + half:+.2f}")
    console.print(table)
    for first, second in itertools.combinations(names, 2):
        middle, low, high = strengths.preferred(first, second)
        console.print(
            f"{plain(first)} is preferred to {plain(second)} in {100 * middle:.0f} % "
            f"(95 %: {100 * low:.0f} to {100 * high:.0f})"
        )
    chosen = [run for run in runs if run.name in names]
    table = Table("metric", "tau of answers", "95 %", "answers", "tau of runs", title="Which metrics agree")
    found = [agreement(metric, scores, answers, strengths) for metric, scores in read_scores(chosen).items()]
    for row in sorted(found, key=lambda each: -each.tau if math.isfinite(each.tau) else 2):
        interval = "" if math.isnan(row.low) else f"{row.low:+.2f} to {row.high:+.2f}"
        table.add_row(row.metric, _number(row.tau), interval, str(row.count), _number(row.of_runs))
    console.print(table)
    console.print(
        "Intervals of strengths take every answer as one by itself; those of tau draw views anew, where there "
        "are six or more. Neither says "
        "what other people, captures or trainings would give."
    )


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.2f}"
