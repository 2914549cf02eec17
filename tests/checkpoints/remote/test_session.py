"""Servers that ignore ranges, lie, break off, redirect, are slow: one clear message, and nothing swallowed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.remote import line
from qanalysis.checkpoints.remote.addresses import Url
from qanalysis.checkpoints.remote.network import Link, connect
from qanalysis.checkpoints.remote.session import Session
from qanalysis.checkpoints.source import CheckpointError
from tests.checkpoints.remote.serving import Site

WEIGHTS = np.arange(200_000, dtype=np.float32).reshape(400, 500)
FILE = save({"w": WEIGHTS})
NAME = "m.safetensors"


@pytest.fixture
def model(site: Site) -> Site:
    site.files[NAME], site.faulty = FILE, NAME
    return site


def refuse(model: Site, reason: str) -> str:
    with pytest.raises(CheckpointError, match=reason) as caught:
        open_checkpoint(f"{model.url}/{NAME}?Signature=secret").close()
    message = str(caught.value)
    assert f"{model.url}/{NAME}" in message
    assert "secret" not in message
    assert len(message) < 600
    assert message.isprintable()
    return message


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("whole", "ignores byte ranges .*download the file"),
        ("chunked", "ignores byte ranges .*download the file"),
        ("range", "bytes 0 to 65535 were asked for, its server sends 'bytes 7-106/"),
        ("no_range", "bytes 0 to 65535 were asked for, its server sends ''"),
        ("length", "bytes 0 to 65535 were asked for"),
        ("break", "broke off after 32768 of 65536 bytes"),
        ("hang_up", "can not be reached or does not speak HTTP"),
        ("nonsense", "can not be reached or does not speak HTTP"),
        ("gzip", "comes compressed"),
        ("circle", "redirected in a circle"),
        ("chain", "redirected more than 5 times"),
    ],
)
def test_a_server_that_misbehaves_is_told_of(model: Site, fault: str, reason: str) -> None:
    model.fault = fault
    if fault == "chain":
        model.faulty = NAME
    refuse(model, reason)
    # 64 KiB were asked for, and one retry is made: what else is on its way fills the buffers of the system at most
    assert model.sent <= len(FILE)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "HF_TOKEN"),
        (403, "accept the model's terms"),
        (404, "is not there; check the spelling"),
        (429, r"too often; .*\(in 7 s\) \(status 429\)"),
        (500, "try again later"),
        (503, "try again later"),
        (418, r"download the file .*\(status 418\)"),
    ],
)
def test_what_a_server_refuses_says_what_helps(model: Site, status: int, reason: str) -> None:
    model.fault, model.status = "status", status
    refuse(model, reason)
    assert len(model.asked) == 1


@pytest.mark.parametrize("fault", ["silent", "drip", "drip_body"])
def test_a_slow_server_is_given_up(model: Site, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "READ_TIMEOUT_S", 0.5)
    monkeypatch.setattr(line, "TOTAL_S", 0.3)
    monkeypatch.setattr(line, "SLOWEST", 1 << 18)  # 64 KiB in 0.25 s
    model.fault = fault
    began = time.monotonic()
    refuse(model, "too slow")
    assert time.monotonic() - began < 1.4


def test_nobody_listens() -> None:
    with pytest.raises(CheckpointError, match=r"Connection refused.*check the address"):
        open_checkpoint("http://127.0.0.1:9/m.safetensors")


def test_a_connection_that_is_cut_is_tried_once_more(model: Site) -> None:
    with open_checkpoint(f"{model.url}/{NAME}") as source:
        model.fault = "hang_up_once"
        np.testing.assert_array_equal(source.read(source.tensors[0]), WEIGHTS)


def test_a_body_that_breaks_off_later_leaves_nothing_half_read(model: Site) -> None:
    with open_checkpoint(f"{model.url}/{NAME}") as source:
        model.fault = "break"
        with pytest.raises(CheckpointError, match="broke off after 400000 of 800000 bytes"):
            source.read(source.tensors[0])
        assert model.count(NAME) == 3  # the header, and the values twice
        model.fault = ""
        np.testing.assert_array_equal(source.read(source.tensors[0]), WEIGHTS)


@pytest.mark.parametrize("fault", ["change", "grow"])
def test_a_file_that_changes_in_between_is_told_of(model: Site, fault: str) -> None:
    with open_checkpoint(f"{model.url}/{NAME}") as source:
        model.fault = fault
        with pytest.raises(CheckpointError, match="changed on its server since it was opened; open it again"):
            source.read(source.tensors[0])


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("file:///etc/passwd", "only https:// and http://"),
        ("ftp://host/x", "only https:// and http://"),
        ("https://me:secret@host/x", "user name or a password"),
        ("", "redirected to nowhere"),
        ("http://[", "only https:// and http://|redirected"),
    ],
    ids=["file", "ftp", "credentials", "nowhere", "nonsense"],
)
def test_redirects_lead_to_https_and_http_only(model: Site, target: str, reason: str) -> None:
    model.fault, model.target = "redirect", target
    refuse(model, reason)


def lead_to(monkeypatch: pytest.MonkeyPatch, *, is_private: bool) -> list[Url]:
    """Have connections judged as if the machine on 127.0.0.1 were a public one, without encryption."""
    asked: list[Url] = []

    def connect_here(url: Url, *, allows_private: bool) -> Link:
        asked.append(url)
        if url.host != "public.example":
            return connect(url, allows_private=allows_private)
        return Link(socket.create_connection(("127.0.0.1", url.port)), is_private)

    monkeypatch.setattr("qanalysis.checkpoints.remote.session.connect", connect_here)
    return asked


def test_a_public_server_leads_to_no_private_machine(model: Site, cdn: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to(monkeypatch, is_private=False)
    model.fault, model.target = "redirect", f"{cdn.url}/{NAME}"
    with pytest.raises(CheckpointError, match=r"http://127\.0\.0\.1:\d+/m\.safetensors leads into a private network"):
        open_checkpoint(f"http://public.example:{model.url.rpartition(':')[2]}/{NAME}")
    assert cdn.asked == []


def test_https_leads_to_no_http(model: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to(monkeypatch, is_private=False)
    model.fault, model.target = "redirect", "http://public.example/x"
    with pytest.raises(CheckpointError, match=r"redirected from https to http://public\.example/x"):
        open_checkpoint(f"https://public.example:{model.url.rpartition(':')[2]}/{NAME}")


def test_a_token_goes_to_its_own_host_alone(model: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    open_checkpoint(f"{model.url}/{NAME}").close()  # HF_ENDPOINT is another port
    assert {one.token for one in model.asked} == {""}
    model.asked.clear()
    monkeypatch.setenv("HF_ENDPOINT", model.url)
    open_checkpoint(f"{model.url}/{NAME}").close()
    assert {one.token for one in model.asked} == {"Bearer hf_secret"}


@pytest.mark.parametrize("token", ["two words", "ü", "x\r\nHost: other"])
def test_a_token_that_is_none_is_refused(model: Site, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(CheckpointError, match="HF_TOKEN holds signs that no token has") as caught:
        open_checkpoint(f"{model.url}/{NAME}")
    assert token not in str(caught.value)


def test_connections_are_used_again(model: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lead_to(monkeypatch, is_private=True)
    with open_checkpoint(f"{model.url}/{NAME}?x") as source:
        for start in range(100_000, 200_000, 5_000):
            source.read_slice(source.tensors[0], start, start + 5_000)
    assert len(model.asked) == 21
    assert len(asked) == 1


def test_a_connection_that_rested_is_not_used_again(model: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lead_to(monkeypatch, is_private=True)
    monkeypatch.setattr(line, "_FRESH_S", 0.0)
    with open_checkpoint(f"{model.url}/{NAME}?x") as source:
        source.read(source.tensors[0])
    assert len(asked) == len(model.asked) == 2


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session()
    yield made
    made.close()


def test_a_list_is_read_up_to_a_limit(site: Site, session: Session) -> None:
    site.files["list"] = bytes(range(100))
    url: Any = Url.parse(f"{site.url}/list")
    assert session.read_whole(url, 100) == bytes(range(100))
    with pytest.raises(CheckpointError, match="more than 99 bytes"):
        session.read_whole(url, 99)
