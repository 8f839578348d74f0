"""Which machine this is, in the sense that matters to shared memory."""

import os
from pathlib import Path


def host_id(root: Path = Path("/")) -> str | None:
    """A name that two processes have in common exactly when they see the same `/dev/shm`.

    The formula, which the gateway computes for itself: `<boot id>:<st_dev of /dev/shm>`, that is the stripped text of
    `/proc/sys/kernel/random/boot_id` and `os.stat("/dev/shm").st_dev` in decimal. The boot id tells machines (and
    reboots) apart; every mounted tmpfs has a device number of its own, so a container with a private `/dev/shm` differs
    from its host, and two containers with a common one agree.

    Returns:
        The name, or None where there is no `/dev/shm`.
    """
    folder = root / "dev/shm"
    if not folder.is_dir():
        return None
    boot_id = (root / "proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot_id}:{os.stat(folder).st_dev}"  # noqa: PTH116 # spelled as the formula is documented
