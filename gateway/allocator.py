"""How native memory is kept."""

import ctypes
import os

ARENAS = 2
_M_ARENA_MAX = -8  # from glibc's malloc.h


def limit_arenas() -> bool:
    """Let all threads share two arenas of glibc's allocator; to be called before threads are started.

    By default there are eight for each processor, and each keeps what is freed in it: pictures and packets go through
    many threads, and the process grows for hours with nothing lost.

    Returns:
        Whether it was done. `MALLOC_ARENA_MAX` in the environment goes before it, and only glibc has arenas.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS))
    except (OSError, AttributeError):
        return False


def give_back() -> bool:
    """Return to the system what is free, as after a camera has stopped. Milliseconds, in which other threads allocate.

    Returns:
        Whether there was any; never, where there is no glibc.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError):
        return False
