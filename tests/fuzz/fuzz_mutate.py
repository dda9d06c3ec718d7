"""Seeded changes to bytes, and to the fields that readers of a format trust."""

import struct
import tarfile
import zlib
from random import Random

EDGES = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 65_536, 89_478_485]
EDGES += [0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF]
BLOCK = tarfile.BLOCKSIZE
FIELDS = [(0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155)]
FIELDS += [(124, 12)] * 4 + [(156, 1)] * 2 + [(386, 24), (482, 1), (483, 12)]  # sizes and kinds
KINDS = [b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"g", b"x", b"X", b"L", b"K", b"S", b"N", b"D"]
RECORDS = [b"size=-512", b"size=99999999999999", b"path=../../up.png", b"path=\xff\xfe.png"]
RECORDS += [b"GNU.sparse.map=1,2,3", b"GNU.sparse.size=x", b"hdrcharset=BINARY", b"size=nan"]
RECORDS += [b"GNU.sparse.major=1\n20 GNU.sparse.minor=0", b"uid=inf", b"mtime=nan", b"size=1e9"]


def change(random: Random, data: bytes) -> bytes:
    """Change a few places, near the ends more often: there stand headers and footers."""
    out = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        if out:
            random.choice([_cut, _flip, _head, _tail, _number, _remove, _repeat])(random, out)
    return bytes(out)


def _cut(random: Random, out: bytearray) -> None:
    del out[random.randrange(len(out)) :]


def _flip(random: Random, out: bytearray) -> None:
    for _ in range(random.choice([1, 4, 20])):
        out[random.randrange(len(out))] ^= 1 << random.randrange(8)


def _head(random: Random, out: bytearray) -> None:
    near = min(len(out), random.choice([32, 128, 600]))
    out[random.randrange(near)] = random.choice([0, 1, 127, 128, 255, random.randrange(256)])


def _tail(random: Random, out: bytearray) -> None:
    near = min(len(out), random.choice([16, 300, 1500]))
    out[-1 - random.randrange(near)] = random.choice([0, 1, 127, 128, 255, random.randrange(256)])


def _number(random: Random, out: bytearray) -> None:
    width = random.choice([1, 2, 4, 8])
    at = random.randrange(random.choice([min(len(out), 64), len(out)]))
    value = random.choice(EDGES) & ((1 << 8 * width) - 1)
    out[at : at + width] = value.to_bytes(width, random.choice(["big", "little"]))


def _remove(random: Random, out: bytearray) -> None:
    at = random.randrange(len(out))
    del out[at : at + random.choice([1, 8, BLOCK])]


def _repeat(random: Random, out: bytearray) -> None:
    at = random.randrange(len(out))
    out[at:at] = out[at : at + random.choice([1, 8, BLOCK])]


def change_png(random: Random, data: bytes) -> bytes:
    """Change a PNG and make its check sums right, so that the change is looked at."""
    out = change(random, data)
    if not out.startswith(b"\x89PNG\r\n\x1a\n") or random.random() < 0.3:
        return out
    parts, at = [out[:8]], 8
    while at + 8 <= len(out):
        size = int.from_bytes(out[at : at + 4], "big")
        body = out[at + 4 : at + 8 + size]
        parts += [out[at : at + 4], body, struct.pack(">I", zlib.crc32(body))]
        at += 12 + size
    return b"".join(parts)


def change_tar(random: Random, data: bytes) -> bytes:
    """Change fields of headers or bytes of an archive, mostly with check sums made right."""
    if random.random() < 0.25:
        return change(random, data)
    out = bytearray(data)
    heads = [at for at in range(0, len(out), BLOCK) if out[at + 257 : at + 262] == b"ustar"]
    for _ in range(random.choice([1, 1, 2, 3])):
        at, (start, length) = random.choice(heads), random.choice(FIELDS)
        value = _field(random, length)[:length]
        out[at + start : at + start + len(value)] = value
    if random.random() < 0.3 and (at := out.find(b"comment=")) > 0:
        record = random.choice([*RECORDS, b"size=" + b"9" * 400]) + b"\n"
        out[at : at + len(record)] = record
    for at in heads:
        out[at + 148 : at + 156] = b" " * 8
        out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + BLOCK])
    return bytes(out)


def _field(random: Random, length: int) -> bytes:
    return random.choice(
        [
            random.randbytes(length),
            b"\xff" * length,
            b"\xff" * (length - 1) + random.randbytes(1),
            b"\x80" + b"\0" * (length - 2) + random.randbytes(1),
            b"\x80" + b"\xff" * (length - 1),
            b"7" * length,
            b"-1\0",
            b"\0" * length,
            random.choice(KINDS),
            b"../../../etc/passwd\0",
            b"%011o\0" % random.choice([0, 1, 511, 513, 10**9, 8**11 - 1]),
        ]
    )
