"""Images: published values of the color curve, exact bytes, and files that are not what they say."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from simulacra.render.image import (
    composite,
    linear_to_srgb,
    read_image,
    read_mask,
    read_uint16,
    resize_area,
    srgb_to_linear,
    write_image,
)
from simulacra.render.runtime.errors import InputError


def test_srgb_has_its_published_values() -> None:
    """IEC 61966-2-1: middle grey 0.18 is 0.4614, the linear toe has slope 12.92."""
    linear = np.array([0.0, 0.001, 0.0031308, 0.18, 0.5, 1.0])
    encoded = np.array([0.0, 0.01292, 0.04045, 0.461356, 0.735357, 1.0])
    np.testing.assert_allclose(linear_to_srgb(linear), encoded, atol=1e-6)


def test_srgb_there_and_back() -> None:
    values = torch.linspace(0, 1, 256, dtype=torch.float64)
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-7, rtol=0)


def test_srgb_has_a_gradient_at_black() -> None:
    values = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    linear_to_srgb(values).sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, torch.full((3,), 12.92, dtype=torch.float64))


def test_premultiplied_color_over_a_background() -> None:
    rgb, alpha = torch.tensor([[[0.3, 0.0, 0.1]]]), torch.tensor([[0.4]])
    over = composite(rgb, alpha, torch.tensor([1.0, 0.5, 0.0]))
    torch.testing.assert_close(over, torch.tensor([[[0.9, 0.3, 0.1]]]))


def test_bytes_are_kept(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    write_image(tmp_path / "a.png", pixels.astype(np.float32) / 255)
    np.testing.assert_array_equal(np.round(read_image(tmp_path / "a.png") * 255), pixels)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_red_comes_first(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "red.png")
    assert read_image(tmp_path / "red.png")[0, 0].tolist() == [1, 0, 0]


def test_depth_keeps_sixteen_bits(tmp_path: Path) -> None:
    depth = np.array([[0, 1, 255], [256, 40000, 65535]], dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "depth.png"), depth)
    np.testing.assert_array_equal(read_uint16(tmp_path / "depth.png"), depth)


def test_eight_bits_are_not_depth(tmp_path: Path) -> None:
    write_image(tmp_path / "depth.png", np.full((3, 3), 0.5, np.float32))
    with pytest.raises(InputError, match=r"16 bit[\s\S]*depth\.png"):
        read_uint16(tmp_path / "depth.png")


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16"])
def test_a_mask_is_one_on_the_person_in_any_depth(tmp_path: Path, mode: str) -> None:
    pixels = np.zeros((4, 4), np.uint16 if mode == "I;16" else np.uint8)
    pixels[1, 2] = np.iinfo(pixels.dtype).max
    image = Image.fromarray(pixels)
    (image if mode == "I;16" else image.convert(mode)).save(tmp_path / "mask.png")
    expected = np.zeros((4, 4), np.float32)
    expected[1, 2] = 1
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), expected)


def test_shrinking_averages_areas() -> None:
    image = np.zeros((4, 4, 3), np.float32)
    image[:2, :2] = 1
    image[0, 0] = 0
    np.testing.assert_allclose(resize_area(image, 2, 2)[..., 0], [[0.75, 0], [0, 0]], atol=1e-6)


def whole_png(tmp_path: Path) -> bytes:
    noise = np.random.default_rng(0).random((40, 40, 3), dtype=np.float32)
    write_image(tmp_path / "whole.png", noise)
    return (tmp_path / "whole.png").read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.97])
def test_a_truncated_png_is_an_error_that_names_it(tmp_path: Path, share: float) -> None:
    content = whole_png(tmp_path)
    cut = tmp_path / "cut.png"
    cut.write_bytes(content[: int(len(content) * share)])
    for read in (read_image, read_mask, read_uint16):
        with pytest.raises(InputError, match=r"cut\.png"):
            read(cut)


def test_damaged_bytes_are_an_error(tmp_path: Path) -> None:
    content = bytearray(whole_png(tmp_path))
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.png"):
        read_image(tmp_path / "bad.png")


def test_a_missing_image_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(InputError, match="missing"):
            read_image(path)


def test_text_is_not_an_image(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    with pytest.raises(InputError, match=r"page\.jpg"):
        read_image(tmp_path / "page.jpg")


def test_a_picture_beyond_reason_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulacra.render.image.MAX_PIXELS", 10)
    write_image(tmp_path / "big.png", np.zeros((4, 4, 3), np.float32))
    with pytest.raises(InputError, match="too large"):
        read_image(tmp_path / "big.png")


def test_a_failed_write_leaves_the_earlier_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, np.zeros((4, 4, 3), np.float32))
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space"):
        write_image(path, np.ones((4, 4, 3), np.float32))
    assert path.read_bytes() == before


def test_a_file_that_asks_for_all_memory_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged PNG can name a chunk of gigabytes; what the decoder raises then is not its own error."""

    def load(self: Image.Image) -> None:
        raise MemoryError

    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(InputError, match="cannot be read"):
        read_image(tmp_path / "x.png")
