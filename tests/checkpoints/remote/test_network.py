"""Which machines may be connected to."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from qanalysis.checkpoints.catalogue import open_address, open_checkpoint
from qanalysis.checkpoints.remote import network
from qanalysis.checkpoints.remote.addresses import Url
from qanalysis.checkpoints.remote.network import connect, is_public
from qanalysis.checkpoints.source import CheckpointError
from tests.checkpoints.remote.serving import Site, serve

PRIVATE = (
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1%eth0",
    "fd00::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",
    "64:ff9b::7f00:1",
)


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_of_the_own_network_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "0"])
def test_a_page_reaches_no_machine_of_its_own_network(host: str, site: Site) -> None:
    site.files["x.gguf"] = b"GGUF"
    port = site.url.rpartition(":")[2]
    with pytest.raises(CheckpointError, match="private network"):
        open_address(f"http://{host}:{port}/x.gguf", public_only=True)
    assert site.asked == []


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Lets names stand for addresses, one answer after another; what was looked up is listed."""

    def set_answers(*answers: str) -> list[str]:
        asked: list[str] = []

        def look_up(host: str, port: int, **_: object) -> list[object]:
            asked.append(host)
            address = answers[min(len(asked), len(answers)) - 1]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr(network.socket, "getaddrinfo", look_up)
        return asked

    return set_answers


def test_a_name_that_leads_home_is_refused_and_looked_up_once(resolve: Callable[..., list[str]], site: Site) -> None:
    port = site.url.rpartition(":")[2]
    asked = resolve("127.0.0.1", "8.8.8.8")
    with pytest.raises(CheckpointError, match="private network"):
        connect(Url.parse(f"https://rebinding.example:{port}/x"), allows_private=False)
    assert asked == ["rebinding.example"]
    assert site.asked == []


def test_plain_http_stays_in_the_own_network(resolve: Callable[..., list[str]]) -> None:
    resolve("8.8.8.8")
    with pytest.raises(CheckpointError, match=r"own network only.*https"):
        open_checkpoint("http://far.example/x.gguf")


def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(CheckpointError, match=r"https://nobody\.invalid/x\.gguf: its server .*check the address"):
        open_checkpoint("https://nobody.invalid/x.gguf")


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Site]:
    """A server for https with a certificate of its own, `tmp_path / "cert.pem"`."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    wanted = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    command = [openssl, *wanted.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    network._make_context.cache_clear()
    with serve(Site(files={"m.safetensors": save({"w": np.eye(200, dtype=np.float32)})}), context=context) as site:
        yield site
    network._make_context.cache_clear()


def test_https_reads_from_a_server_that_is_trusted(
    encrypted: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with open_checkpoint(f"{encrypted.url}/m.safetensors") as source:
        np.testing.assert_array_equal(source.read(source.tensors[0]), np.eye(200))


def test_https_reads_from_no_server_that_is_not(encrypted: Site) -> None:
    with pytest.raises(CheckpointError, match=r"is not to be trusted .*SSL_CERT_FILE"):
        open_checkpoint(f"{encrypted.url}/m.safetensors")
    assert encrypted.asked == []


def test_the_proxy_of_the_environment_is_asked_for_https(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard: list[bytes] = []

        def answer() -> None:
            made, _ = server.accept()
            with made:
                heard.append(made.recv(4096))
                made.sendall(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://me:pass@127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(OSError, match=r"the proxy answered 403 to a connection to host\.example:443"):
            connect(Url.parse("https://host.example/x"), allows_private=True)
        thread.join()
    assert heard[0].startswith(b"CONNECT host.example:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6cGFzcw==\r\n" in heard[0]
    with pytest.raises(CheckpointError, match="private network"):
        connect(Url.parse("https://127.0.0.1/x"), allows_private=False)
