"""The Linux inside of a bzImage, which `qemu -kernel` starts by PVH without decompressing it in the guest first.

Source: Documentation/arch/x86/boot.rst of Linux, "The Real-Mode Kernel Header": setup_sects at 0x1f1, "HdrS" at 0x202,
payload_offset and payload_length at 0x248. The payload ends with its uncompressed size, four bytes.
"""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
import zlib

from fourfold.errors import UserError, WorldError

_SECTOR = 512
_SECONDS = 120
_PROGRAMS = {b"\x02\x21\x4c\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of what Python itself cannot decompress -> the program, and the package, that can."""


def require_programs() -> None:
    """Raises UserError where one is missing: which of them a kernel needs is known only once it is there."""
    if missing := [program for program in _PROGRAMS.values() if shutil.which(program) is None]:
        listed = " and ".join(missing)
        raise UserError(f"cannot read every kernel: {listed} not installed", f"apt-get install {' '.join(missing)}")


def vmlinux(image: bytes) -> bytes:
    """Raises WorldError for what is no kernel of this kind, UserError when a program to read it is missing."""
    if image[0x202:0x206] != b"HdrS" or struct.unpack_from("<H", image, 0x206)[0] < 0x208:
        raise WorldError("cannot read the kernel: it is no bzImage of the last fifteen years")
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((image[0x1F1] or 4) + 1) * _SECTOR + offset
    found = decompress(image[start : start + length - 4])
    if not found.startswith(b"\x7fELF"):
        raise WorldError("cannot read the kernel: what is in it is no ELF program")
    return found


def decompress(content: bytes) -> bytes:
    """By its first bytes; what is compressed in none of the ways of kernels and their modules is given as it is."""
    if content[:2] == b"\x1f\x8b":
        return zlib.decompressobj(31).decompress(content)
    if content[:6] == b"\xfd7zXZ\x00":
        return lzma.LZMADecompressor().decompress(content)
    if (program := _PROGRAMS.get(content[:4])) is not None:
        return _through(program, content)
    return content


def _through(program: str, content: bytes) -> bytes:
    try:
        done = subprocess.run([program, "-dc"], input=content, capture_output=True, check=True, timeout=_SECONDS)
    except FileNotFoundError:
        what = f"cannot read the kernel: it is compressed with {program}, which is not installed"
        raise UserError(what, f"apt-get install {program}") from None
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise WorldError(f"cannot read the kernel: {error}") from error
    return done.stdout
