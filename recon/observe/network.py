"""A TensorFlow Lite network as a function from one image tensor to named arrays.

The only file that knows ai-edge-litert. Interpreters hold state and are not to be shared between threads:
each worker makes its own with :meth:`Network.load`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.render.runtime.assets import asset_path
from simulacra.render.runtime.errors import AssetError, MissingExtraError


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
        self._interpreter.allocate_tensors()
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
    # The runtime announces its XNNPACK delegate on standard error at every load; that is no news to a user.
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
        return Interpreter(str(path), num_threads=threads)
    except (ValueError, OSError) as error:
        raise AssetError(
            "a network file cannot be loaded", where=path, found=error, remedy="simulacra assets"
        ) from error


def sigmoid(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Logistic function, clipped as MediaPipe does (at 100) so that it cannot overflow."""
    return (1.0 / (1.0 + np.exp(-np.clip(x.astype(np.float64), -100.0, 100.0)))).astype(np.float32)
