"""How native memory is kept."""

import ctypes

_M_ARENA_MAX = -8  # from glibc's malloc.h


def limit_arenas(most: int) -> bool:
    """Let all threads share so many arenas of glibc's allocator (0: as many as it likes); before threads are started.

    By default there are eight for each processor, and each keeps what is freed in it: pictures and packets go through
    many threads, and the process grows for hours with nothing lost.

    Returns:
        Whether it was done: only glibc has arenas.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, most))
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
