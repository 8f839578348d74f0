"""How native memory is kept."""

import ctypes


def give_back() -> bool:
    """Return to the system what is free: glibc keeps what large models leave in pieces, for another that isn't coming.

    Returns:
        Whether there was any; never, where there is no glibc.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError):
        return False
