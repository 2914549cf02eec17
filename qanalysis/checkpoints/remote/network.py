"""Which machines may be connected to? Public ones; those of the own network only where the reader's own address named
one.

The rule holds at the moment of connecting: a name is resolved once and its addresses are judged, and one of those is
connected to, so that no second answer of a name server leads elsewhere. Addresses are typed by others where a page is
open to them, and servers redirect: neither may reach what only this machine can.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from http.client import HTTPResponse
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from qanalysis.checkpoints.remote.addresses import Url
from qanalysis.checkpoints.source import CheckpointError

#: Seconds in which a machine must take up a connection.
CONNECT_TIMEOUT_S = 10.0
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64: the last four bytes are an IPv4 address
_LOCAL_NAMES = ("localhost", ".localhost", ".local", ".internal", ".home.arpa")


@dataclass(frozen=True, slots=True)
class Link:
    """A connection and whether it leads into the own network."""

    socket: socket.socket
    is_private: bool


def is_public(text: str) -> bool:
    """Whether an IP address is one of the open internet, whatever it is wrapped in.

    >>> is_public("8.8.8.8"), is_public("169.254.169.254"), is_public("::ffff:127.0.0.1")
    (True, False, False)
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return address.is_global and not address.is_multicast


def connect(url: Url, *, allows_private: bool) -> Link:
    """A connection to the machine of an address, encrypted for https.

    CheckpointError for a machine that may not be connected to, OSError where none answers. Through the proxy that the
    environment names for https, which resolves names itself; http goes only into the own network.
    """
    proxy = _find_proxy(url)
    if proxy:
        if _names_private(url.host) and not allows_private:
            raise _refuse(url)
        link = Link(_open_tunnel(url, proxy), is_private=False)
    else:
        link = _connect_directly(url, allows_private=allows_private)
    if url.scheme != "https":
        return link
    try:
        return Link(_make_context().wrap_socket(link.socket, server_hostname=url.host), link.is_private)
    except BaseException:
        link.socket.close()
        raise


def _connect_directly(url: Url, *, allows_private: bool) -> Link:
    found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    fault: OSError | None = None
    for family, kind, protocol, _name, place in found:
        is_private = not is_public(str(place[0]))
        if is_private and not allows_private:
            continue
        if url.scheme == "http" and not is_private:
            raise CheckpointError(
                f"{url.shown}: http:// is read from the own network only, since anyone on the way could change what "
                "comes; give the https:// address"
            )
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(CONNECT_TIMEOUT_S)
            made.connect(place)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            made.close()
            fault = error
        else:
            return Link(made, is_private)
    if fault:
        raise fault
    raise _refuse(url)


def _refuse(url: Url) -> CheckpointError:
    return CheckpointError(
        f"{url.shown} leads into a private network, which may not be reached from there; give the address of a public "
        "server, or download the file"
    )


def _names_private(host: str) -> bool:
    try:
        return not is_public(host)
    except ValueError:
        return host == _LOCAL_NAMES[0] or host.endswith(_LOCAL_NAMES[1:]) or "." not in host


def _find_proxy(url: Url) -> str:
    return "" if url.scheme != "https" or proxy_bypass(url.host) else getproxies().get("https", "")


def _open_tunnel(url: Url, proxy: str) -> socket.socket:
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme != "http" or not parts.hostname:
        raise CheckpointError("the proxy of the environment (https_proxy) is no http:// address; set another")
    made = socket.create_connection((parts.hostname, parts.port or 80), CONNECT_TIMEOUT_S)
    place = f"{url.host}:{url.port}"
    head = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"
    if parts.username:
        name = b64encode(f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()).decode()
        head += f"Proxy-Authorization: Basic {name}\r\n"
    try:
        made.sendall(f"{head}\r\n".encode())
        answer = HTTPResponse(made, method="CONNECT")
        answer.begin()
        if answer.status != 200:
            raise OSError(f"the proxy answered {answer.status} to a connection to {place}")
    except BaseException:
        made.close()
        raise
    return made


@cache
def _make_context() -> ssl.SSLContext:
    return ssl.create_default_context()
