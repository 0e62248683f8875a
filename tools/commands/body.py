"""`simulacra body`: the user's own copy of another body, checked and made ready."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from tyro.conf import arg

from . import printing
from .arguments import OptionalPath


def body(
    from_: Annotated[OptionalPath, arg(name="from", metavar="FOLDER")] = None,
    people: Annotated[int, Interval(ge=1, le=100)] = 3,
) -> None:
    """Check your own copy of SMPL-X, lay it over the default body, and say by how much people change between them.

    The files are its authors', who hand them out; they stay where they are. Then
    `simulacra reconstruct ... --fit.body smplx` fits that body. $SIMULACRA_SMPLX names the folder too.

    Args:
        from_: the folder with SMPLX_NEUTRAL.npz, which is remembered; the one of before if not given.
        people: how many made-up people in made-up poses are converted to it and back.
    """
    from simulacra.recon.bodies.convert import convert
    from simulacra.recon.bodies.opening import open_smplx, remember_folder, smplx_folder
    from simulacra.recon.bodies.people import made_people
    from simulacra.render.body import load_body

    console = printing.console()
    folder = Path(from_) if from_ is not None else smplx_folder()
    with console.status("Reading the model and laying the default body over it (a minute, once)."):
        opened = open_smplx(folder)
    if from_ is not None:
        remember_folder(folder)
    found = opened.model
    console.print(
        f"{printing.plain(str(opened.path))}: {len(found.template)} vertices, {len(found.shape_dirs)} betas and "
        f"{len(found.expression_dirs)} expressions used; "
        f"the surfaces meet within {1000 * opened.correspondence.gap_m:.2f} mm."
    )
    default = load_body()
    with console.status("Converting people."):
        shape, pose = made_people(default, people)
        there = convert(default, shape, pose, opened.body, opened.correspondence.on_default)
        back = convert(opened.body, there.shape, there.pose, default, opened.correspondence.on_foreign)
    console.print(f"ours to SMPL-X: {there.words()}")
    console.print(f"and back:       {back.words()}")
