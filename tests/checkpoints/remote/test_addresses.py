"""What an address says, and that nothing secret of it is shown."""

from __future__ import annotations

import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.remote.addresses import Url, is_address, show
from qanalysis.checkpoints.source import CheckpointError


def test_parts_of_an_address() -> None:
    url = Url.parse("HTTPS://Host.example:8443/a b/ü.gguf?sig=x%20y#part")
    assert (url.scheme, url.host, url.port, url.target) == (
        "https",
        "host.example",
        8443,
        "/a%20b/%C3%BC.gguf?sig=x%20y",
    )
    assert str(url) == "https://host.example:8443/a%20b/%C3%BC.gguf?sig=x%20y"
    assert Url.parse("http://[::1]:80/x").authority == "[::1]"
    assert Url.parse("https://bücher.example/").host == "xn--bcher-kva.example"


@pytest.mark.parametrize("text", ["hf://o/r", "https://h/x", "HTTP://h/x"])
def test_an_address_is_told_by_its_beginning(text: str) -> None:
    assert is_address(text)
    assert not is_address(text.removesuffix("x").replace("://", ":/"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://me:secret@host/x", "user name or a password"),
        ("file:///etc/passwd", "only https:// and http://"),
        ("https:///x", "a host and a path"),
        ("https://host:99999/x", "only https:// and http://|no address"),
        ("https://host/x\r\nHost: other", "a host and a path"),
        ("https://ho st/x", "a host and a path"),
        ("https://" + "h" * 5000 + "/x", "no address|only https"),
    ],
    ids=["credentials", "file", "no host", "port", "two lines", "blank in host", "too long"],
)
def test_what_is_no_address_is_refused(text: str, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason) as caught:
        Url.parse(text)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_shown_address_has_no_secrets_and_an_end() -> None:
    assert show("https://me:secret@host/m.gguf?Signature=secret#secret") == "https://host/m.gguf"
    assert show("https://host?x=user:secret@y") == "https://host"
    assert len(show("https://host/" + "x" * 9999)) <= 160
    assert show("https://host/\x1b[31m") == "https://host/?[31m"


@pytest.mark.parametrize("text", ["hf://o/r", "https://host/x.gguf", "http://host/x.gguf"])
def test_addresses_are_opened_only_where_that_is_allowed(text: str) -> None:
    with pytest.raises(CheckpointError, match=r"addresses are not opened here; .*--remote"):
        open_checkpoint(text, remote=False)
