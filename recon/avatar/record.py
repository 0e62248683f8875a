"""What training gives: a drivable avatar of Gaussians or of a mesh, or free Gaussians that only know one moment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from simulacra.recon.avatar.mesh_record import MESH_RECORD, load_mesh, save_mesh
from simulacra.recon.avatar.poses import POSES, PoseCorrections, load_corrections, save_corrections
from simulacra.recon.fit import BodyFit
from simulacra.recon.runs.files import read_json, write_arrays
from simulacra.recon.runs.records import check_arrays, read_arrays, record_errors
from simulacra.render.avatar import Avatar, Binding, BodyRig, drive
from simulacra.render.body.records import BodyPose, BodyShape
from simulacra.render.figure import Figure, GaussianFigure
from simulacra.render.gaussians.record import FIELDS, Gaussians
from simulacra.render.mesh_avatar import MeshAvatar, mesh_gaussians
from simulacra.render.unseen import Unseen, show_unseen, show_unseen_mesh

RECORD = "gaussians.npz"
ACCOUNT = "training.json"
LOSSES = "losses.npz"
# What an avatar knows of who saw it: runs of earlier versions have none of it, or the first alone.
SEEN = ("seen", "seen_share")


@dataclass(frozen=True)
class TrainedResult:
    """An avatar, or free Gaussians in the world; exactly one of the two, on the CPU.

    Attributes:
        avatar: as Gaussians; a mesh as flat ones at its vertices, for whoever draws nothing else.
        free: in the world.
        mesh: what the avatar really is, where it is a mesh.
        poses: what training found about the fit's poses, where that was asked.
    """

    avatar: Avatar | None = None
    free: Gaussians | None = None
    mesh: MeshAvatar | None = None
    poses: PoseCorrections | None = None

    @staticmethod
    def of_mesh(mesh: MeshAvatar) -> TrainedResult:
        """A mesh avatar, and its Gaussians."""
        return TrainedResult(avatar=mesh_gaussians(mesh), mesh=mesh)

    def pose(self, rig: BodyRig, pose: BodyPose) -> Figure:
        """What cameras see of an avatar in a pose of one frame.

        Args:
            rig: of the avatar's binding, which is the mesh's too.
        """
        with torch.no_grad():
            if self.mesh is not None:
                return self.mesh.pose(rig, pose)
            assert self.avatar is not None
            return GaussianFigure(drive(self.avatar, rig, pose))

    def corrected(self, fit: BodyFit) -> BodyFit:
        """The fit with its poses as training corrected them: where the person is to be drawn."""
        return fit if self.poses is None else self.poses.apply(fit)

    def showing(self, unseen: Unseen) -> TrainedResult:
        """What no training view saw as it is, in gray, or left out; as it is where that is not known."""
        if self.mesh is not None:
            return TrainedResult.of_mesh(show_unseen_mesh(self.mesh, unseen))
        return (
            self if self.avatar is None else TrainedResult(show_unseen(self.avatar, unseen), poses=self.poses)
        )

    def __post_init__(self) -> None:
        if (self.avatar is None) == (self.free is None):
            raise ValueError("a result is an avatar or free Gaussians")


def save_trained(folder: Path, result: TrainedResult) -> None:
    """Writes ``mesh.npz`` of a mesh; otherwise ``gaussians.npz``: the fields of the Gaussians, and those of binding and
    shape, and what was seen, where there is a body. ``poses.npz`` where poses were corrected.
    """
    if result.poses is not None:
        save_corrections(folder / POSES, result.poses)
    if result.mesh is not None:
        save_mesh(folder, result.mesh)
        return
    gaussians = result.free if result.avatar is None else result.avatar.gaussians
    assert gaussians is not None
    arrays = {name: getattr(gaussians, name).detach().numpy() for name in FIELDS}
    if result.avatar is not None:
        avatar = result.avatar
        arrays["faces"] = avatar.binding.faces.numpy()
        arrays["barycentrics"] = avatar.binding.barycentrics.numpy()
        arrays["phenotypes"] = avatar.shape.phenotypes.detach().numpy()
        arrays["local_changes"] = avatar.shape.local_changes.detach().numpy()
        seen = {name: getattr(avatar, name) for name in SEEN}
        arrays |= {name: value.numpy() for name, value in seen.items() if value is not None}
    write_arrays(folder / RECORD, **arrays)


def trained_on(folder: Path) -> dict[str, str]:
    """The device and the rasterizer's backend that trained a record, as `describe_device` has them.

    Raises:
        RunError: the account is missing or damaged.
    """
    account = read_json(folder / ACCOUNT)
    with record_errors(folder / ACCOUNT):
        return {name: str(account[name]) for name in ("device", "backend")}


def load_trained(folder: Path) -> TrainedResult:
    """Reads what `save_trained` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    if (folder / MESH_RECORD).is_file():
        return TrainedResult.of_mesh(load_mesh(folder))
    with record_errors(folder / RECORD):
        arrays = {name: torch.from_numpy(array) for name, array in read_arrays(folder / RECORD).items()}
        fields = {
            kind: {name: arrays.pop(name) for name in names if name in arrays}
            for kind, names in (
                (Gaussians, FIELDS),
                (Binding, ("faces", "barycentrics")),
                (BodyShape, ("phenotypes", "local_changes")),
                (Avatar, SEEN),
            )
        }
        for kind, tensors in fields.items():
            check_arrays(kind, tensors)
        gaussians = Gaussians(**fields[Gaussians])
        if not fields[Binding]:
            return TrainedResult(free=gaussians)
        binding = Binding(**fields[Binding])
        if len(binding) != len(gaussians) or (binding.faces < 0).any():
            raise ValueError("the binding is not of these Gaussians")
        if any(len(seen) != len(gaussians) for seen in fields[Avatar].values()):
            raise ValueError("there is not one count of cameras, or share of views, for each Gaussian")
        avatar = Avatar(BodyShape(**fields[BodyShape]), binding, gaussians, **fields[Avatar])
    return TrainedResult(avatar=avatar, poses=load_corrections(folder / POSES))
