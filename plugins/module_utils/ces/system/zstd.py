# SPDX-License-Identifier: GPL-3.0-or-later
"""Decompress zstd by the system's own library (libzstd): Python has none before 3.14.

The library is there wherever squashfs-tools and squashfuse are that can make and mount such files.
https://facebook.github.io/zstd/zstd_manual.html (simple API)
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

from ..typed import Any

_LIBRARY = "libzstd.so.1"


def decompressed(data: bytes, most: int) -> bytes | None:
    """What a frame holds; None if it is damaged, or holds more than ``most`` bytes.

    :raises OSError: this host has no libzstd.
    """
    library = _library()
    room = ctypes.create_string_buffer(most)
    size = library.ZSTD_decompress(room, most, data, len(data))
    return None if library.ZSTD_isError(size) else room.raw[:size]


@lru_cache(maxsize=1)
def _library() -> Any:
    library = ctypes.CDLL(_LIBRARY)
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = (
        *(ctypes.c_void_p, ctypes.c_size_t),
        *(ctypes.c_char_p, ctypes.c_size_t),
    )
    library.ZSTD_isError.restype = ctypes.c_uint
    library.ZSTD_isError.argtypes = (ctypes.c_size_t,)
    return library
