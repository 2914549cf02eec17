"""What does an address say? Its parts, checked, and how it is shown: short, and without what it may hold in secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

from qanalysis.checkpoints.source import CheckpointError
from qanalysis.notation import shorten

HUB_PREFIX = "hf://"
#: How the text of a source begins that lies on another machine.
PREFIXES = (HUB_PREFIX, "https://", "http://")
_PORTS = {"https": 443, "http": 80}
_LONGEST = 4096  # characters; signed addresses take about 1,500
_KEPT = "/%:@!$&'()*+,;=~-._?"
_HOST = re.compile(r"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")


def is_address(text: str) -> bool:
    """Whether a source's text names another machine.

    >>> is_address("HF://owner/repo"), is_address("https.safetensors")
    (True, False)
    """
    return text.lower().startswith(PREFIXES)


def show(text: str) -> str:
    """An address for people: without user, password, query and fragment, cut to 160 characters.

    >>> show("https://me:secret@host/m.gguf?Signature=abc")
    'https://host/m.gguf'
    """
    scheme, mark, rest = re.split(r"[?#]", text, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    shown = f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}" if scheme.lower() != "hf" else text
    return show_text(shown, 160)


def show_text(text: str, most: int) -> str:
    r"""What a server said, on one line, cut, without signs that a terminal obeys.

    >>> show_text("HTTP/1.1\x1b[31m OK", 40)
    'HTTP/1.1?[31m OK'
    """
    return shorten("".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split())), most)


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https address: `target` is its path and query, quoted."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address that a text is. CheckpointError for other schemes, credentials, and what is no address.

        >>> Url.parse("https://host/a b?x=1").target
        '/a%20b?x=1'
        """
        try:
            parts = urlsplit(text)
            scheme, host = parts.scheme.lower(), (parts.hostname or "").encode("idna").decode().lower()
            port = parts.port or _PORTS.get(scheme, 0)
        except ValueError:  # of the port, of brackets, of a host that no name server knows
            scheme, host, port = "", "", 0
        if scheme not in _PORTS:
            raise CheckpointError(f"{show(text)}: only https:// and http:// addresses are read; give one of those")
        if "@" in parts.netloc:
            raise CheckpointError(
                f"{show(text)} holds a user name or a password, which are not sent; give an address that needs none"
            )
        if not _HOST.fullmatch(host) or len(text) > _LONGEST or any(ord(sign) < 33 and sign != " " for sign in text):
            raise CheckpointError(f"{show(text)} is no address: a host and a path are expected; check the spelling")
        path, query = quote(parts.path or "/", safe=_KEPT.rstrip("?")), quote(parts.query, safe=_KEPT)
        return cls(scheme, host, port, f"{path}?{query}" if query else path)

    def __str__(self) -> str:
        return urlunsplit((self.scheme, self.authority, self.target, "", ""))

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port, as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What must be equal for a token to be sent."""
        return self.scheme, self.host, self.port

    @property
    def shown(self) -> str:
        """The address for people."""
        return show(str(self))
