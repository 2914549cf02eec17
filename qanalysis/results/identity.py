"""Which input did a result come from? Its label, its size, the digest of its content."""

from __future__ import annotations

from collections.abc import Callable


class SourceIdentity:
    """Which input the rows came from: its label (never an absolute path), its size in bytes, its content's digest.

    `stored` says how a quantizer packed the values, with the true bits per weight; empty for plain numbers.

    `digest` may be given as a function, called when someone first asks: only what leaves the program needs it, and it
    reads the whole input. It is None where the work was cancelled, where only the header was read, or where the input
    can no longer be read as it was.
    """

    __slots__ = ("_digest", "path", "size", "stored")

    def __init__(
        self, path: str, size: int, digest: str | Callable[[], str | None] | None, *, stored: str = ""
    ) -> None:
        self.path = path
        self.size = size
        self.stored = stored
        self._digest = digest

    @property
    def digest(self) -> str | None:
        """The hash of the input's content, "sha256:...", or None."""
        if callable(self._digest):
            self._digest = self._digest()
        return self._digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceIdentity) and (
            self.path,
            self.size,
            self.digest,
            self.stored,
        ) == (other.path, other.size, other.digest, other.stored)

    def __hash__(self) -> int:
        return hash((self.path, self.size))

    def __repr__(self) -> str:
        return f"SourceIdentity(path={self.path!r}, size={self.size}, digest={self._digest!r}, stored={self.stored!r})"
