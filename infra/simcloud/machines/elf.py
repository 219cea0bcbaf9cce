"""A shared library without a compiler: just enough of libcuda for a first look."""

from __future__ import annotations

import platform
import struct

SONAME = "libcuda.so.1"
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_PAGE = 0x1000


def libcuda(
    gpu_count: int,
    machine: str = platform.machine(),
    *,
    version: str = "12.8",
    error: int = 0,
) -> bytes:
    """cuInit, cuDeviceGetCount and cuDriverGetVersion; with no GPU the first two fail.

    With an `error` they fail with it whatever is there.

    Raises: KeyError for an architecture other than x86_64 and aarch64.
    """
    code = _X86_64 if machine == "x86_64" else _AARCH64
    error = error or (0 if gpu_count else NO_DEVICE)
    works = code.give(error)
    functions = {
        "cuInit": works,
        "cuDeviceGetCount": code.give(error) if error else code.store(gpu_count),
        "cuDriverGetVersion": code.store(_number(version)),
    }
    return _shared_object(functions, _ELF_MACHINE[machine])


def _number(version: str) -> int:
    """A version as the driver tells it.

    >>> _number("12.8")
    12080
    """
    major, _, minor = version.partition(".")
    return int(major) * 1000 + int(minor or 0) * 10


class _X86_64:  # noqa: N801 - the architecture's own name
    @staticmethod
    def give(value: int) -> bytes:
        return b"\xb8" + struct.pack("<i", value) + b"\xc3"  # mov eax, value; ret

    @classmethod
    def store(cls, value: int) -> bytes:
        return b"\xc7\x07" + struct.pack("<i", value) + cls.give(0)  # mov dword [rdi], value


class _AARCH64:
    @staticmethod
    def give(value: int) -> bytes:
        return struct.pack("<II", 0x52800000 | value << 5, 0xD65F03C0)  # mov w0, #value; ret

    @classmethod
    def store(cls, value: int) -> bytes:
        # mov w1, #value; str w1, [x0]
        return struct.pack("<II", 0x52800001 | value << 5, 0xB9000001) + cls.give(0)


_ELF_MACHINE = {"x86_64": 62, "aarch64": 183}


def _shared_object(functions: dict[str, bytes], elf_machine: int) -> bytes:
    """One page of names and code, one writable page for the dynamic section (System V gABI)."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*functions, SONAME])
    count = len(functions) + 1  # the first symbol is the empty one
    hash_at = 64 + 4 * 56
    symbols_at = hash_at + 4 * (2 + 1 + count)
    symbols_at += -symbols_at % 8
    names_at = symbols_at + 24 * count
    code_at = names_at + len(names)
    code_at += -code_at % 16

    code = b""
    symbols = bytes(24)
    for name, body in functions.items():
        code += bytes(-len(code) % 16)
        at = code_at + len(code)
        # st_info 0x12: global function; section 1 stands for "defined here"
        symbols += struct.pack("<IBBHQQ", names.index(name.encode()), 0x12, 0, 1, at, len(body))
        code += body
    # One bucket: a chain through all symbols.
    chain = [0, *range(2, count), 0]
    hashes = struct.pack(f"<{3 + count}I", 1, count, 1, *chain)
    tags = [
        (4, hash_at),
        (5, names_at),
        (6, symbols_at),
        (10, len(names)),
        (11, 24),
        (14, names.index(SONAME.encode())),
        (0, 0),
    ]
    dynamic = b"".join(struct.pack("<QQ", tag, value) for tag, value in tags)

    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", 3, elf_machine, 1, 0, 64, 0, 0, 64, 56, 4, 64, 0, 0,
    )  # fmt: skip
    end = code_at + len(code)
    segments = b"".join(
        struct.pack("<IIQQQQQQ", kind, flags, at, at, at, size, size, align)
        for kind, flags, at, size, align in (
            (1, 5, 0, end, _PAGE),  # load, read and execute
            (1, 6, _PAGE, len(dynamic), _PAGE),  # load, read and write
            (2, 6, _PAGE, len(dynamic), 8),  # dynamic
            (0x6474E551, 6, 0, 0, 16),  # a stack that is not executable
        )
    )
    head = (header + segments + hashes).ljust(symbols_at, b"\0") + symbols + names
    return (head.ljust(code_at, b"\0") + code).ljust(_PAGE, b"\0") + dynamic
