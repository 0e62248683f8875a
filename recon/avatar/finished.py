"""A finished run, opened again: the avatar, the body, and the fitted person, for whoever shows or exports it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from simulacra.recon.avatar.record import TrainedResult, load_trained
from simulacra.recon.bodies.opening import body_name_of, open_body
from simulacra.recon.fit import BodyFit, load_fit
from simulacra.recon.fit.seen import part_views, unseen_words
from simulacra.recon.runs.chain import check_records
from simulacra.recon.runs.run_folder import check_has_avatar, read_run_file
from simulacra.render.avatar import Avatar, BodyRig, drive, rig_body
from simulacra.render.body import BodyModel, BodyPose
from simulacra.render.figure import Figure
from simulacra.render.gaussians import Gaussians
from simulacra.render.mesh_avatar import MeshAvatar
from simulacra.render.runtime.errors import RunError
from simulacra.render.unseen import Unseen, never_seen


@dataclass(frozen=True)
class FinishedAvatar:
    """An avatar that can be driven.

    Attributes:
        avatar: as it was trained.
        body: that carries it.
        rig: of the avatar's shape and binding.
        fit: the poses of the capture, as photographs corrected them.
        mesh: what the avatar really is, where it is a mesh.
    """

    avatar: Avatar
    body: BodyModel
    rig: BodyRig
    fit: BodyFit
    mesh: MeshAvatar | None = None

    def remarks(self) -> dict[str, str]:
        """What whoever uses the avatar should know, by name: what of the person no camera saw.

        For the metadata of exports; what saw each Gaussian is `Avatar.seen_share`.
        """
        hidden = never_seen(self.avatar)
        if hidden is None or self.fit.seen is None:
            return {}
        share = f"{100 * float((~hidden).double().mean()):.0f} %"
        words = unseen_words(part_views(self.body, self.fit.seen))
        guessed = {"never seen, a guess": ", ".join(words)} if words else {}
        what = "Gaussians" if self.mesh is None else "vertices"
        said = "hang where some camera saw the person"
        if self.avatar.seen_share is not None:
            said = "were seen in some training view"
        return {"seen": f"{share} of the {what} {said}"} | guessed

    def showing(self, unseen: Unseen) -> FinishedAvatar:
        """What no training view saw as it is, in gray, or left out.

        Raises:
            RunError: nobody knows what was seen, or nothing was.
        """
        if unseen == "keep":
            return self
        hidden = never_seen(self.avatar)
        if hidden is None or (unseen == "drop" and bool(hidden.all())):
            raise RunError(
                "the run does not say what was seen" if hidden is None else "nothing of this person was seen",
                where=f"--unseen {unseen}",
                remedy="reconstruct again with this version" if hidden is None else "--unseen keep",
            )
        shown = TrainedResult(self.avatar, mesh=self.mesh).showing(unseen)
        assert shown.avatar is not None
        binding = shown.avatar.binding
        same = len(binding) == len(self.avatar)
        rig = self.rig if same else rig_body(self.body, shown.avatar.shape, binding)
        return replace(self, avatar=shown.avatar, rig=rig, mesh=shown.mesh)

    def figure(self, pose: BodyPose) -> Figure:
        """The person in the world, in a pose of one frame, to be drawn."""
        return TrainedResult(self.avatar, mesh=self.mesh).pose(self.rig, pose)

    def posed(self, pose: BodyPose) -> Gaussians:
        """The Gaussians in the world, in a pose of one frame."""
        with torch.no_grad():
            return drive(self.avatar, self.rig, pose)


def open_avatar(run: Path) -> FinishedAvatar:
    """Loads the avatar of a run.

    Raises:
        RunError: not a finished run, or one whose result has no body (the baseline); a record is damaged, or was
            made of another fit than the one that lies beside it.
    """
    check_has_avatar(run)
    described = read_run_file(run)
    check_records(run, ["avatar"])
    trained = load_trained(run / "avatar")
    avatar = trained.avatar
    if avatar is None:
        raise RunError(
            "this run has no avatar: free Gaussians cannot be posed",
            where=run,
            expected="a run of another configuration than depth_splats and free_splats",
        )
    check_records(run, ["fit"])
    body, fit = open_body(body_name_of(described)), load_fit(run / "fit")
    check_body(run, body, avatar, fit)
    fit = trained.corrected(fit)
    return FinishedAvatar(avatar, body, rig_body(body, avatar.shape, avatar.binding), fit, trained.mesh)


def check_body(run: Path, body: BodyModel, avatar: Avatar | None, fit: BodyFit | None) -> None:
    """That the records of a run are of this body: its shapes, bones, expressions and triangles.

    Raises:
        RunError: they are of another.
    """
    shape = [len(body.phenotype_names), len(body.local_change_names)]
    expected, found = [], []
    for record in (avatar, fit):
        if record is not None:
            expected += shape
            found += [len(record.shape.phenotypes), len(record.shape.local_changes)]
    if fit is not None:
        expected += [len(body.bone_names), len(body.expression_names)]
        found += [fit.pose.rotations.shape[1], fit.pose.expression.shape[1]]
    beyond = avatar is not None and len(avatar) > 0 and int(avatar.binding.faces.max()) >= len(body.faces)
    if expected != found or beyond:
        raise RunError(
            "the records of the run are of another body",
            where=run,
            expected=f"sizes {expected}, triangles below {len(body.faces)}",
            found=f"sizes {found}{', triangles beyond' if beyond else ''}",
            remedy="reconstruct again with this version",
        )
