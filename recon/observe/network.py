"""A TensorFlow Lite network as a function from one image tensor to named arrays.

The only file that knows ai-edge-litert. Interpreters hold state and are not to be shared between threads:
each worker makes its own with :meth:`Network.load`.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.render.runtime.assets import asset_path
from simulacra.render.runtime.errors import AssetError, MissingExtraError

# What the runtime says of itself when its first network is made, once a process; it has no switch for that.
ANNOUNCEMENT = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
STDERR = 2
_announcing = threading.Lock()
_announced = threading.Event()


class Network:
    """One loaded network; ``network(tensor)`` runs it on an ``h w c`` float32 array."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Loads a file.

        Args:
            path: the ``.tflite`` file.
            threads: processor threads of one run. Results do not depend on it in our tests, but 1 is the
                choice where bit-equality matters.

        Raises:
            MissingExtraError: ai-edge-litert is not installed.
            AssetError: the file is not a network.
        """
        self._interpreter = _interpreter(path, threads)
        entry = self._interpreter.get_input_details()[0]
        self._input: int = entry["index"]
        self._outputs = {detail["name"]: detail["index"] for detail in self._interpreter.get_output_details()}
        _, height, width, channels = (int(size) for size in entry["shape"])
        self.name = path.name
        self.width, self.height, self.channels = width, height, channels

    @classmethod
    def load(cls, name: str, threads: int = 1) -> Network:
        """The network of an asset, for example ``pose_detection``.

        Raises:
            AssetError: the asset is absent or altered.
            MissingExtraError: ai-edge-litert is not installed.
        """
        return cls(asset_path(name), threads)

    def predict(self, pixels: Float[np.ndarray, "h w c"], *, low: float = 0.0) -> Mapping[str, np.ndarray]:
        """Runs on an image crop of values 0..1, given to the network as `low`..1.

        The crop is rounded to 8 bits first, as the networks were made for and MediaPipe gives them: they
        are so sensitive that the fractions alone move landmarks by pixels.
        """
        rounded = np.round(pixels * 255.0) / 255.0
        return self(rounded * (1.0 - low) + low)

    def __call__(self, tensor: Float[np.ndarray, "h w c"]) -> Mapping[str, np.ndarray]:
        """Every output by its name, without the leading batch axis; the arrays are copies."""
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(tensor[None], dtype=np.float32))
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index)[0] for name, index in self._outputs.items()}


def _interpreter(path: Path, threads: int) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingExtraError(
            "the runtime of the landmark networks is not installed",
            expected="ai-edge-litert",
            remedy="pip install ai-edge-litert",
        ) from error
    try:
        with _without_announcement():
            interpreter = Interpreter(str(path), num_threads=threads)
            interpreter.allocate_tensors()
            return interpreter
    except (ValueError, OSError) as error:
        raise AssetError(
            "a network file cannot be loaded", where=path, found=error, remedy="simulacra assets"
        ) from error


@contextmanager
def _without_announcement() -> Iterator[None]:
    """What is written to standard error meanwhile, by whatever thread or library, comes out after, but for one line.

    Only while the first network of the process is made: it is the one that is announced.
    """
    if _announced.is_set():
        yield
        return
    with _announcing, tempfile.TemporaryFile() as kept:
        try:
            away = os.dup(STDERR)
        except OSError:  # closed: nobody would hear it
            yield
            return
        os.dup2(kept.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(away, STDERR)
            os.close(away)
            kept.seek(0)
            _say_all_but_announcement(kept.readlines())


def _say_all_but_announcement(lines: list[bytes]) -> None:
    others = [line for line in lines if line.strip() != ANNOUNCEMENT]
    if len(others) < len(lines):
        _announced.set()
    said = b"".join(others)
    with suppress(OSError):  # nobody reads it any more
        while said:
            said = said[os.write(STDERR, said) :]


def sigmoid(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Logistic function, clipped as MediaPipe does (at 100) so that it cannot overflow."""
    return (1.0 / (1.0 + np.exp(-np.clip(x.astype(np.float64), -100.0, 100.0)))).astype(np.float32)
