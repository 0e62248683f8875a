"""What readers of the web find in splat files: Spark's loader of PLY, SPZ and SOG, and three's of PLY, in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from simulacra.render.gaussians import Gaussians
from simulacra.render.rotation import quat_normalize, quat_to_matrix
from tests.browser import Browser, serve_folder
from tests.node_programs import node_modules
from tests.render.export.test_splats import some, write

PAGE = """<!doctype html><script type="importmap">{"imports": {
  "three": "./node_modules/three/build/three.module.js", "three/addons/": "./node_modules/three/examples/jsm/",
  "@sparkjsdev/spark": "./node_modules/@sparkjsdev/spark/dist/spark.module.js"}}</script>
<script type="module">
import { SplatMesh } from "@sparkjsdev/spark";
import { PLYLoader } from "three/addons/loaders/PLYLoader.js";
window.spark = async name => {
  const mesh = new SplatMesh({ url: name }), found = [];
  await mesh.initialized;
  mesh.forEachSplat((index, center, scales, quaternion, opacity, color) => found.push([
    ...center.toArray(), ...scales.toArray(), ...quaternion.toArray(), opacity, color.r, color.g, color.b]));
  return found;
};
window.three = async name => {
  const loader = new PLYLoader();
  loader.setCustomPropertyNameMapping({ dc: ["f_dc_0", "f_dc_1", "f_dc_2"], size: ["scale_0", "scale_1", "scale_2"],
    turn: ["rot_0", "rot_1", "rot_2", "rot_3"], opacity: ["opacity"] });
  const { attributes } = await loader.loadAsync(name);
  return ["position", "size", "turn", "opacity", "dc"].map(one => [...attributes[one].array]);
};
window.ready = true;
</script>"""
# Metres: of PLY single precision; Spark keeps the others in half floats, 11 bits of a metre.
PLACES = {"ply": 1e-3, "spz": 1e-3, "sog": 1e-3}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    modules = node_modules("three", "@sparkjsdev/spark")
    folder = tmp_path_factory.mktemp("readers")
    (folder / "node_modules").symlink_to(modules, target_is_directory=True)
    (folder / "page.html").write_text(PAGE)
    for form in PLACES:
        write(form, folder, some())
    with serve_folder(folder) as at:
        yield at


def turned(ours: Gaussians) -> tuple[np.ndarray, np.ndarray]:
    """Places and axes as 3DGS' files have them: half a turn about Z."""
    half = np.diag([-1.0, -1.0, 1.0])
    return ours.means.numpy() @ half, half @ quat_to_matrix(quat_normalize(ours.quats)).numpy()


@pytest.mark.parametrize("form", PLACES)
def test_spark_finds_every_gaussian(browser: Browser, address: str, form: str) -> None:
    ours = some()
    page = browser.open(f"{address}/page.html")
    page.wait_for("window.ready")
    found = np.array(json.loads(page.evaluate(f"spark('a.{form}').then(JSON.stringify)")))
    page.close()
    assert len(found) == len(ours)
    places, axes = turned(ours)
    row = np.linalg.norm(found[:, None, :3] - places[None], axis=-1).argmin(0)
    found = found[row]
    np.testing.assert_allclose(found[:, :3], places, atol=PLACES[form])
    # Spark keeps sizes and opacities in bytes.
    np.testing.assert_allclose(np.log(found[:, 3:6]), ours.log_scales.numpy(), atol=0.12)
    np.testing.assert_allclose(found[:, 10], ours.logit_opacities.sigmoid().numpy(), atol=0.01)
    rgb = np.clip(0.28209479177387814 * ours.sh[:, 0].numpy() + 0.5, 0, 1)
    np.testing.assert_allclose(found[:, 11:], rgb, atol=0.02)
    x, y, z, w = found[:, 6:10].T
    theirs = quat_to_matrix(quat_normalize(ours.quats.new_tensor(np.stack([w, x, y, z], -1)))).numpy()
    # Of a Gaussian with two sizes alike any axes between them are as good: how it spreads is what counts.
    sizes = np.exp(ours.log_scales.numpy())
    spreads = [(R * sizes[:, None]) @ np.swapaxes(R * sizes[:, None], 1, 2) for R in (theirs, axes)]
    largest = (sizes.max(1) ** 2)[:, None, None]
    np.testing.assert_allclose(spreads[0] / largest, spreads[1] / largest, atol=0.06)


def test_three_reads_the_ply_to_the_bit(browser: Browser, address: str) -> None:
    ours = some()
    page = browser.open(f"{address}/page.html")
    page.wait_for("window.ready")
    position, size, _, opacity, dc = json.loads(page.evaluate("three('a.ply').then(JSON.stringify)"))
    page.close()
    np.testing.assert_allclose(np.reshape(position, (-1, 3)), turned(ours)[0], rtol=0, atol=1e-7)
    np.testing.assert_array_equal(np.float32(np.reshape(size, (-1, 3))), ours.log_scales.numpy())
    np.testing.assert_array_equal(np.float32(opacity), ours.logit_opacities.numpy())
    np.testing.assert_array_equal(np.float32(np.reshape(dc, (-1, 3))), ours.sh[:, 0].numpy())
