"""`simulacra evaluate`: a run scored again, or the Gaussians of another trainer beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from tyro.conf import arg

from simulacra.recon.runs.run_folder import check_has_avatar
from simulacra.render.runtime.errors import ConfigError

from .arguments import Run
from .inputs import Input
from .outputs import OptionalFolder
from .printing import console

FrameNumber = Annotated[int, Interval(ge=0, le=10_000_000)]


def evaluate(
    run: Run,
    /,
    held_out_cameras: Annotated[tuple[str, ...] | None, arg(metavar="CAM [CAM ...]")] = None,
    out: OptionalFolder = None,
    across: Annotated[Path | None, arg(metavar="RUN"), Input("run")] = None,
    same_person: bool = False,
    gaussians: Annotated[Path | None, arg(metavar="FILE.ply"), Input("file")] = None,
    frame: Annotated[FrameNumber | None, arg(metavar="N")] = None,
    world: Annotated[Path | None, arg(metavar="FILE.json"), Input("file")] = None,
    antialiased: bool = False,
) -> None:
    """Score a run again and write its report, or score it on other cameras and write a second report.

    With --gaussians the PLY of another trainer (gsplat's, Inria's) is scored as a static scene: at one moment, on the
    cameras that the run held out, beside the run itself on the same views.

    With --across the avatar is scored in the poses and cameras of another session of the same person, on the views that
    the run of that session held out.

    Args:
        run: the folder that `simulacra reconstruct` made.
        held_out_cameras: score these cameras too. Those that the run was trained on are marked as seen.
        out: a folder for scores and report instead of the run, which may be read-only then.
        across: a run of another session of the same person.
        same_person: with --across: it is one person, though the sessions do not say so.
        gaussians: what to score beside the run.
        frame: the moment that these Gaussians are of, where several were scored.
        world: where their world is: nerfstudio's dataparser_transforms.json, or a 4x4 matrix to the session's world as
            JSON. Without it they are in the session's own, as `simulacra export-session --to colmap` gives it.
        antialiased: they were trained so.
    """
    if gaussians is None and (frame is not None or world is not None or antialiased):
        raise ConfigError("--frame, --world and --antialiased are of --gaussians", where="the command line")
    if across is None and same_person:
        raise ConfigError("--same-person is of --across", where="the command line")
    if across is not None and (gaussians is not None or held_out_cameras is not None):
        raise ConfigError(
            "--across goes with neither --gaussians nor --held-out-cameras: the other run's held-out views judge",
            where="the command line",
        )
    check_has_avatar(run)
    from simulacra.recon.evaluate.again import evaluate_run

    from ..report.write import write_run_report

    if gaussians is not None:
        _beside(run, gaussians, out, held_out_cameras, frame, world, antialiased)
        return
    if across is not None:
        from simulacra.recon.evaluate.across import evaluate_across

        _, folder = evaluate_across(run, across, out, same_person=same_person)
    else:
        _, folder = evaluate_run(run, held_out_cameras, out)
    print(f"report: {write_run_report(run, folder.name, out=out)}")


def _beside(
    run: Path,
    file: Path,
    out: Path | None,
    cameras: tuple[str, ...] | None,
    frame: int | None,
    world: Path | None,
    antialiased: bool,
) -> None:
    from simulacra.recon.evaluate.foreign import IDENTITY, RUN_PART, evaluate_gaussians, name_of, read_world

    from ..comparison.beside import compare_parts
    from ..comparison.page import print_comparison, say_verdict, write_comparison

    folder = out or run / f"gaussians_{file.stem}"
    placed = IDENTITY if world is None else read_world(world)
    made = evaluate_gaussians(
        run, file, folder, frame=frame, held_out_cameras=cameras, world=placed, antialiased=antialiased
    )
    comparison = compare_parts(run, folder, RUN_PART, name_of(file))
    print_comparison(comparison, console())
    scored = sorted({view.camera for view in made.run.protocol.evaluated})
    print(
        f"{file.name} as a static scene beside {run.name}: frame {made.frame}, cameras {', '.join(scored)}."
    )
    print(say_verdict(comparison, "psnr_fg"))
    print(f"page: {write_comparison(folder / 'compare.html', comparison)}")
