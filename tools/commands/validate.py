"""`simulacra validate`: whether a file is a whole .avatar file, and what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from .inputs import Input


def validate(file: Annotated[Path, arg(metavar="FILE.avatar"), Input("file")], /) -> None:
    """Read a whole .avatar file and say what is in it, or what is wrong with it.

    Args:
        file: of this or of any other program (docs/avatar-format.md), compressed or not (docs/compression.md).
    """
    from simulacra.render.export.compressed import is_compressed
    from simulacra.render.export.rigged_reader import AvatarFileError, parse_avatar
    from simulacra.render.runtime.errors import InputError

    try:
        content = file.read_bytes()
        if is_compressed(content):
            print(_compressed(file, content))
            return
        avatar = parse_avatar(content)
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


def _compressed(file: Path, content: bytes) -> str:
    """What is said of a compressed file, all of which was read.

    Raises:
        AvatarFileError: it is not sound, or ends before its last level.
    """
    from simulacra.render.body import load_body
    from simulacra.render.export.compressed import read_compressed
    from simulacra.render.export.rigged_reader import AvatarFileError

    found = read_compressed(content, load_body)
    if len(found.gaussians) < found.whole:
        raise AvatarFileError(f"it was cut off: {len(found.gaussians)} of {found.whole} Gaussians are in it")
    if found.holds_body:
        found.as_file()
    return (
        f"{file}: sound; {found.whole} Gaussians, compressed, {8 * len(content) / found.whole:.1f} bits each with "
        f"all else; {'its body inside' if found.holds_body else 'its body is named'}; {len(content) / 2**20:.1f} MiB"
    )
