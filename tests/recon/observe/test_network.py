"""Networks that cannot be had say what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.observe import PoseNetwork
from simulacra.recon.observe.network import Network, sigmoid
from simulacra.render.runtime.assets import asset_path
from simulacra.render.runtime.errors import AssetError, MissingExtraError


def test_without_its_runtime_a_network_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingExtraError, match="ai-edge-litert"):
        Network(tmp_path / "any.tflite")


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"not a network")
    with pytest.raises(AssetError, match=r"broken\.tflite"):
        Network(tmp_path / "broken.tflite")


def test_absent_networks_say_how_to_get_them(empty_cache: Path) -> None:
    with pytest.raises(AssetError, match="simulacra assets"):
        PoseNetwork()


def test_crops_are_given_in_8_bits_and_in_the_networks_range(networks: None) -> None:
    network = Network(asset_path("face_detection_short_range"))
    pixels = np.random.default_rng(0).random((128, 128, 3), dtype=np.float32)
    rounded = np.round(pixels * 255) / 255
    seen = network.predict(pixels, low=-1.0)
    expected = network(rounded * 2 - 1)
    np.testing.assert_array_equal(seen["regressors"], expected["regressors"])
    assert np.abs(network.predict(pixels)["regressors"] - seen["regressors"]).max() > 0.1


def test_sigmoid_does_not_overflow() -> None:
    np.testing.assert_allclose(sigmoid(np.array([-1e4, 0.0, 1e4], np.float32)), [0.0, 0.5, 1.0], atol=1e-6)
