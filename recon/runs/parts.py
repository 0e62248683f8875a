"""Parts of stages that several runs have in common, each computed once and kept under what it is computed from.

A stage's result is taken over by a run of the same key (see stages). A setting that only the end of a stage depends on
gives all of it another key, though its beginning is the same: that beginning can be a part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from simulacra.recon.runs.files import disk_errors
from simulacra.recon.runs.lock import write_lock
from simulacra.recon.runs.run_folder import RunFolder
from simulacra.recon.runs.stages import run_stage, stage_key

# Of a part's key, in the name of its folder: 64 bits of it.
KEY_DIGITS = 16


@dataclass(frozen=True)
class Parts:
    """Where parts are kept, and what all those that are asked for here are computed from.

    Attributes:
        root: the folder that holds a folder for each.
        inputs: digests of what their stage reads, by name.
    """

    root: Path
    inputs: Mapping[str, str]

    def made(self, name: str, version: int, settings: object, compute: Callable[[Path], None]) -> Path:
        """The folder of a part, to read only; computed if it is not there, was damaged, or was stopped on the way.

        Args:
            version: raised by hand when the code changes what is computed.
            settings: those that it depends on (anything that JSON can say).
            compute: writes it into a folder, in which it finds what an earlier call that was stopped left there.

        Raises:
            RunError: the disk is full, the folder cannot be written, or another process writes into it.
        """
        key = stage_key(name, version, settings, self.inputs)
        with disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        with write_lock(self.root):
            folder, _ = run_stage(
                RunFolder(self.root, ""),
                f"{name}-{key[:KEY_DIGITS]}",
                version=version,
                config=settings,
                inputs=self.inputs,
                compute=compute,
                load=lambda found: found,
            )
        return folder
