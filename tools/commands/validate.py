"""`simulacra validate`: whether a file is a whole .avatar file, and what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from .inputs import Input


def validate(file: Annotated[Path, arg(metavar="FILE.avatar"), Input("file")], /) -> None:
    """Read a whole .avatar file and say what is in it, or what is wrong with it.

    Args:
        file: of this or of any other program (docs/avatar-format.md).
    """
    from simulacra.render.export.rigged_reader import AvatarFileError, read_avatar
    from simulacra.render.runtime.errors import InputError

    try:
        avatar = read_avatar(file)
    except OSError as error:
        raise InputError("a file cannot be read", where=file, found=error.strerror or str(error)) from error
    except AvatarFileError as error:
        raise InputError("this is no sound .avatar file", where=file, found=error) from error
    count, influences = avatar.arrays["skin.bones"].shape
    frames = len(avatar.arrays["motion.translation"])
    motion = f", {frames} frames at {avatar.header['fps']:g} a second" if frames else ""
    print(
        f"{file}: sound; {count} Gaussians, {len(avatar.header['bones'])} bones ({influences} a Gaussian), "
        f"{len(avatar.header.get('actions', []))} facial actions{motion}; {file.stat().st_size / 2**20:.1f} MiB"
    )
