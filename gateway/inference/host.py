"""Whether a runtime shares this process's memory."""

from pathlib import Path


def host_id() -> str:
    """A string that two processes have in common exactly when they see the same `/dev/shm` of the same boot.

    It is `<boot id>:<device number of /dev/shm>`: each container with a `/dev/shm` of its own has another device number
    there. A runtime's agent declares the string by the same formula; empty where the kernel tells neither.
    """
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot_id}:{Path('/dev/shm').stat().st_dev}"  # noqa: S108 - asks about the mount, writes nothing
    except OSError:
        return ""
