"""Networks that cannot be had say what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.observe import PoseNetwork
from simulacra.recon.observe import network as network_file
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


ANNOUNCED = """
import os
import threading
from simulacra.recon.observe.network import Network, _without_announcement

def load():
    os.write(2, b"before\\n")
    Network.load("face_detection_short_range")
    os.write(2, b"after\\n")

threads = [threading.Thread(target=load) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
try:
    with _without_announcement():
        os.write(2, b"WARNING: real\\n")
        raise ValueError("failed")
except ValueError:
    os.write(2, b"caught\\n")
"""


def test_the_runtime_does_not_announce_itself_and_what_others_say_is_heard(networks: None) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ANNOUNCED], capture_output=True, text=True, check=True
    )
    assert sorted(done.stderr.split("\n")) == sorted(
        ["", *["before"] * 4, *["after"] * 4, "WARNING: real", "caught"]
    )
    assert done.stdout == ""


def test_warnings_of_the_runtime_are_said_while_the_first_network_is_made(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(network_file, "_announced", threading.Event())
    with network_file._without_announcement():
        os.write(2, b"ERROR: torn\n" + network_file.ANNOUNCEMENT + b"\nWARNING: slow\n")
    assert capfd.readouterr().err == "ERROR: torn\nWARNING: slow\n"
    with network_file._without_announcement():
        os.write(2, b"at once\n")
        assert capfd.readouterr().err == "at once\n"
