"""Is there room for a model? What the system says is free, against what the weights take in float32."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from qanalysis.notation import quote, size

_SYSTEM = Path("/proc/meminfo")
_GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def find_free_memory() -> int | None:
    """Bytes that can still be had, the limit of a container counted; None where the system does not say."""
    found = [_read_system(), *(_read_group(most, used) for most, used in _GROUPS)]
    return min((count for count in found if count is not None), default=None)


def check_room(needed: int, what: str) -> None:
    """ValueError where `needed` bytes are more than is free; both numbers are said. Passes where nothing is known."""
    free = find_free_memory()
    if free is not None and needed > free:
        raise ValueError(
            f"{quote(what)} takes {size(needed)} in float32 and {size(free)} of memory are free; a model is held in "
            "memory as a whole, so take a smaller one or a larger machine"
        )


def _read_system() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in _SYSTEM.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _read_group(most: Path, used: Path) -> int | None:
    with suppress(OSError, ValueError):  # "max" where nothing is limited
        return max(int(most.read_text(encoding="ascii")) - int(used.read_text(encoding="ascii")), 0)
    return None
