"""The boxes of a HEIF file (ISO/IEC 23008-12 over 14496-12): which items it has, how they refer to each other, where
their bytes are. Pixels are decoded elsewhere; what a decoder does not tell is here: the XMP of an auxiliary image, and
the turns of each item.

Every length in the file is checked against what encloses it, so that no file makes this read further or longer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from simulacra.render.runtime.errors import InputError

# Phones write about a hundred items; libheif itself stops at 1000.
MOST_ITEMS = 4096
MOST_EXTENTS = 64
LONGEST_METADATA = 1 << 22


@dataclass(frozen=True)
class HeifItem:
    """One item.

    Attributes:
        kind: `hvc1`, `grid`, `mime`, `Exif`, ...
        properties: four letters and content of each property, in their order.
        references: (kind, items referred to): `auxl` of an auxiliary image, `cdsc` of metadata.
    """

    number: int
    kind: str
    properties: tuple[tuple[str, bytes], ...]
    references: tuple[tuple[str, tuple[int, ...]], ...]
    extents: tuple[tuple[int, int], ...] | None
    inside: bool

    def refers_to(self, kind: str, number: int) -> bool:
        """Whether the item refers to another in that way."""
        return any(k == kind and number in targets for k, targets in self.references)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height as stored, before any turn."""
        for kind, content in self.properties:
            if kind == "ispe" and len(content) >= 12:
                return struct.unpack(">II", content[4:12])
        return None

    @property
    def auxiliary_type(self) -> str | None:
        """The name of what an auxiliary image is."""
        for kind, content in self.properties:
            if kind == "auxC":
                return content[4:].split(b"\0")[0].decode("ascii", "replace")
        return None

    @property
    def quarter_turns(self) -> int:
        """Quarter turns anticlockwise from the stored image to the shown one."""
        return sum(content[0] & 3 for kind, content in self.properties if kind == "irot" and content) % 4

    @property
    def mirrored(self) -> bool:
        """Whether the shown image is the stored one in a mirror."""
        return sum(kind == "imir" for kind, _ in self.properties) % 2 == 1

    @property
    def cropped(self) -> bool:
        """Whether only a part of the stored image is shown."""
        return any(kind == "clap" for kind, _ in self.properties)


@dataclass(frozen=True)
class HeifBoxes:
    """A file's items by number, and the bytes that they lie in."""

    primary: int
    items: Mapping[int, HeifItem]
    data: bytes
    inner: bytes
    where: str

    def content(self, number: int) -> bytes:
        """An item's bytes.

        Raises:
            InputError: they are not in the file, or too many for metadata.
        """
        item = self.items[number]
        source = self.inner if item.inside else self.data
        parts, total = [], 0
        for offset, length in item.extents or ():
            length = length or max(len(source) - offset, 0)
            total += length
            if offset + length > len(source) or total > LONGEST_METADATA:
                raise _damage_error(self.where, f"item {number} lies outside of the file")
            parts.append(source[offset : offset + length])
        if not parts:
            raise _damage_error(self.where, f"item {number} has no bytes")
        return b"".join(parts)

    def metadata_of(self, number: int) -> list[bytes]:
        """The content of all `mime` items (XMP) that describe an item."""
        return [
            self.content(item.number)
            for item in self.items.values()
            if item.kind == "mime" and item.refers_to("cdsc", number)
        ]


def read_heif_boxes(data: bytes, where: str) -> HeifBoxes:
    """Reads the description of a HEIF file.

    Raises:
        InputError: not HEIF, or a box that cannot be.
    """
    try:
        top = dict(_boxes(data, 0, len(data)))
        if "ftyp" not in top or "meta" not in top:
            raise _damage_error(where, "no ftyp and meta box")
        start, end = top["meta"]
        parts = dict(_boxes(data, start + 4, end))
        inner = data[slice(*parts["idat"])] if "idat" in parts else b""
        version, _, body = _full(data, parts["pitm"])
        primary = int.from_bytes(body[: 2 if version == 0 else 4], "big")
        kinds = _item_kinds(data, parts["iinf"])
        places = _item_places(data, parts["iloc"])
        references = _references(data, parts.get("iref"))
        properties = _properties(data, parts["iprp"])
    except KeyError as error:
        raise _damage_error(where, f"no {error.args[0]} box") from error
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        raise _damage_error(where, error) from error
    if primary not in kinds:
        raise _damage_error(where, "the primary item is not among the items")
    items = {}
    for number, kind in kinds.items():
        inside, extents = places.get(number, (False, None))
        items[number] = HeifItem(
            number,
            kind,
            tuple(properties.get(number, ())),
            tuple(references.get(number, ())),
            extents,
            inside,
        )
    return HeifBoxes(primary, items, data, inner, where)


def _damage_error(where: str, found: object) -> InputError:
    return InputError(
        "a HEIC file cannot be read", where=where, found=found, remedy="copy it again from the phone"
    )


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Names and content ranges of the boxes in a range."""
    count = 0
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif size == 0:
            size = end - start
        count += 1
        if size < head or start + size > end or count > MOST_ITEMS:
            raise ValueError(f"a box of {size} bytes at {start}")
        yield name.decode("latin-1"), (start + head, start + size)
        start += size


def _full(data: bytes, place: tuple[int, int]) -> tuple[int, int, bytes]:
    """Version, flags and the rest of a full box."""
    body = data[slice(*place)]
    if len(body) < 4:
        raise ValueError("a box is cut off")
    return body[0], int.from_bytes(body[1:4], "big"), body[4:]


def _item_kinds(data: bytes, place: tuple[int, int]) -> dict[int, str]:
    version, _, _ = _full(data, place)
    head = 4 + (2 if version == 0 else 4)
    kinds = {}
    for name, inner in _boxes(data, place[0] + head, place[1]):
        if name != "infe":
            continue
        entry_version, _, entry = _full(data, inner)
        wide = 4 if entry_version == 3 else 2
        if entry_version < 2 or len(entry) < wide + 6:
            raise ValueError("an item without a type")
        kinds[int.from_bytes(entry[:wide], "big")] = entry[wide + 2 : wide + 6].decode("latin-1")
    return kinds


def _item_places(data: bytes, place: tuple[int, int]) -> dict[int, tuple[bool, tuple[tuple[int, int], ...]]]:
    """Whether an item lies in `idat`, and where its pieces are."""
    version, _, body = _full(data, place)
    sizes = int.from_bytes(body[:2], "big")
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    index_size = index_size if version in (1, 2) else 0
    if {offset_size, length_size, base_size, index_size} - {0, 4, 8}:
        raise ValueError("item locations of an unknown width")
    wide = 2 if version < 2 else 4
    at = 2

    def number(width: int) -> int:
        nonlocal at
        if at + width > len(body):
            raise ValueError("item locations are cut off")
        at += width
        return int.from_bytes(body[at - width : at], "big")

    places = {}
    for _ in range(_check_count(number(wide), MOST_ITEMS)):
        item = number(wide)
        method = number(2) & 15 if version in (1, 2) else 0
        number(2)
        base = number(base_size)
        extents = []
        for _ in range(_check_count(number(2), MOST_EXTENTS)):
            number(index_size)
            offset = number(offset_size)
            extents.append((base + offset, number(length_size)))
        if method in (0, 1):
            places[item] = (method == 1, tuple(extents))
    return places


def _check_count(count: int, most: int) -> int:
    if count > most:
        raise ValueError(f"{count} entries where {most} are the most")
    return count


def _references(data: bytes, place: tuple[int, int] | None) -> dict[int, list[tuple[str, tuple[int, ...]]]]:
    found: dict[int, list[tuple[str, tuple[int, ...]]]] = {}
    if place is None:
        return found
    version, _, _ = _full(data, place)
    wide = 2 if version == 0 else 4
    for kind, (start, end) in _boxes(data, place[0] + 4, place[1]):
        body = data[start:end]
        count = int.from_bytes(body[wide : wide + 2], "big")
        if len(body) < wide + 2 + count * wide:
            raise ValueError("a reference is cut off")
        targets = [body[wide + 2 + i * wide : wide + 2 + (i + 1) * wide] for i in range(count)]
        source = int.from_bytes(body[:wide], "big")
        found.setdefault(source, []).append((kind, tuple(int.from_bytes(t, "big") for t in targets)))
    return found


def _properties(data: bytes, place: tuple[int, int]) -> dict[int, list[tuple[str, bytes]]]:
    """The properties of each item, by what `ipma` says of them."""
    shared: list[tuple[str, bytes]] = []
    associations = []
    for name, inner in _boxes(data, *place):
        if name == "ipco":
            shared = [(kind, data[slice(*at)]) for kind, at in _boxes(data, *inner)]
        elif name == "ipma":
            associations.append(inner)
    found: dict[int, list[tuple[str, bytes]]] = {}
    for inner in associations:
        version, flags, body = _full(data, inner)
        item_size, index_size = (2 if version < 1 else 4), (2 if flags & 1 else 1)
        at = 4
        for _ in range(_check_count(int.from_bytes(body[:4], "big"), MOST_ITEMS)):
            item, count = int.from_bytes(body[at : at + item_size], "big"), body[at + item_size]
            at += item_size + 1
            for _ in range(count):
                index = int.from_bytes(body[at : at + index_size], "big") & (
                    0x7FFF if index_size == 2 else 0x7F
                )
                at += index_size
                if at > len(body) or index > len(shared):
                    raise ValueError("a property that is not there")
                if index:
                    found.setdefault(item, []).append(shared[index - 1])
    return found
