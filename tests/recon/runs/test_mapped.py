"""Arrays that stay on disk: the bytes of numpy's own files, damage named, and memory that is given back."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.runs.files import write_arrays
from simulacra.recon.runs.mapped import map_arrays, new_array, pack_arrays, release

ARRAYS = {
    "frames": np.arange(7),
    "px": np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32),
    "none": np.zeros((0, 4)),
}


def test_what_is_packed_is_what_numpy_writes_and_is_read_as_it_was(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", **ARRAYS)
    pack_arrays(tmp_path / "b.npz", ARRAYS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    mapped = map_arrays(tmp_path / "a.npz")
    assert list(mapped) == list(ARRAYS)
    for name, array in ARRAYS.items():
        release(mapped[name])
        np.testing.assert_array_equal(mapped[name], array)
        assert mapped[name].dtype == array.dtype
    assert isinstance(mapped["px"], np.memmap) and not mapped["px"].flags.writeable


def test_what_was_written_into_a_file_stays_when_its_memory_is_given_back(tmp_path: Path) -> None:
    array = new_array(tmp_path / "in" / "rows", (5, 3), np.dtype(np.float32))
    assert not array.any()
    array[2] = 7
    release(array)
    assert array[2].tolist() == [7, 7, 7] and not array[3:].any()
    assert new_array(tmp_path / "nothing", (0, 3), np.dtype(np.float32)).shape == (0, 3)


def test_damage_is_an_error_and_never_other_numbers(tmp_path: Path) -> None:
    """Each byte wrong, in turn: of numbers always an error; of a date in the archive none, and the same numbers."""
    values = np.random.default_rng(0).normal(size=60)
    path = tmp_path / "a.npz"
    pack_arrays(path, {"px": values})
    whole = path.read_bytes()
    begin = whole.index(values.tobytes())
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = map_arrays(path)
        except (ValueError, OSError):
            continue
        assert not begin <= place < begin + values.nbytes
        assert np.array_equal(found.get("px", values), values)
    path.write_bytes(whole[:-30])
    with pytest.raises(ValueError, match="zip"):
        map_arrays(path)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "small.npz", px=np.zeros(9))
    np.savez(tmp_path / "objects.npz", px=np.array([{}]))
    (tmp_path / "text.npz").write_text("no archive")
    for name, why in (("small", "compressed"), ("objects", "objects"), ("text", "zip")):
        with pytest.raises(ValueError, match=why):
            map_arrays(tmp_path / f"{name}.npz")


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("(1000000000000,)", "size"),
        ("(-1,)", "size"),
        ("(1000000000000, 0)", "."),
        ("(" * 300, "."),
        ("(1.5,)", "."),
    ],
)
def test_no_header_asks_for_more_than_the_file_is_long(tmp_path: Path, shape: str, said: str) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("px.npy", member)
    if shape.endswith(", 0)"):  # of nothing there may be any number
        assert map_arrays(tmp_path / "a.npz")["px"].size == 0
        return
    with pytest.raises(ValueError, match=said):
        map_arrays(tmp_path / "a.npz")


def test_what_would_unpack_to_more_than_the_file_is_not_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", px=np.zeros(10_000_000))
    with pytest.raises(ValueError, match="compressed"):
        map_arrays(tmp_path / "a.npz")
