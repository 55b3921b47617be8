"""How many cores this process may use: those of its affinity, at most those of its container."""

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = _QUOTA) -> int:
    """At least one. `quota` is the cgroup v2 file `<microseconds or max> <period>`."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    if not allowed.isdigit() or not period.isdigit() or not int(period):
        return cores
    return max(1, min(cores, math.ceil(int(allowed) / int(period))))
