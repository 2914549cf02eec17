"""A model of the hub is its configuration, safetensors and tokenizer; nothing else is fetched."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.running import memory
from qanalysis.models.running.opening import open_model

pytest.importorskip("transformers")
hub = pytest.importorskip("huggingface_hub")
Folders = Callable[[str], Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub's routes for lists and files do; `repositories` are files by name, `fetched` what was had."""

    protocol_version = "HTTP/1.1"
    repositories: dict[str, dict[str, bytes]]
    fetched: list[str]

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(is_head=True)

    def do_GET(self) -> None:
        self.answer(is_head=False)

    def answer(self, *, is_head: bool) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        if path.startswith("api/models/"):
            rest = path.removeprefix("api/models/")
            is_tree = "/tree/" in rest
            repository, _, revision = rest.partition("/tree/" if is_tree else "/revision/")
            files = self.repositories.get(repository)
            if files is None or revision not in ("", "main", COMMIT):
                word = "RepoNotFound" if files is None else "RevisionNotFound"
                return self.send(404, b"", is_head, {"X-Error-Code": word})
            siblings = [{"rfilename": name, "size": len(data), "blobId": "0"} for name, data in files.items()]
            tree = [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()]
            told = {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings}
            body = json.dumps(tree if is_tree else told).encode()
            return self.send(200, body, is_head, {"Content-Type": "application/json"})
        repository, _, rest = path.partition("/resolve/")
        name = rest.partition("/")[2]
        data = self.repositories.get(repository, {}).get(name)
        if data is None:
            return self.send(404, b"", is_head, {"X-Error-Code": "EntryNotFound"})
        if not is_head:
            self.fetched.append(name)
        said = {"X-Repo-Commit": COMMIT, "ETag": f'"{sha1(data).hexdigest()}"'}
        return self.send(200, data, is_head, said)

    def send(self, status: int, body: bytes, is_head: bool, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not is_head:
            self.wfile.write(body)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_folder: Folders) -> Iterator[type[Hub]]:
    class Own(Hub):
        pass

    Own.repositories, Own.fetched = {}, []
    files = {path.name: path.read_bytes() for path in model_folder("gpt2").iterdir()}
    foreign = {"modeling_own.py": b"raise SystemExit", "pytorch_model.bin": b"pickle", "onnx/config.json": b"{}"}
    Own.repositories["owner/small"] = {**files, **foreign}
    Own.repositories["owner/pickled"] = {"config.json": files["config.json"], "pytorch_model.bin": b"pickle"}
    Own.repositories["owner/bare"] = {"README.md": b"# bare"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield Own
    server.shutdown()
    server.server_close()


def test_a_model_of_the_hub_is_fetched_once_and_runs(site: type[Hub], model_folder: Folders, text_file: Path) -> None:
    model, local = open_model("hf://owner/small"), open_model(str(model_folder("gpt2")))
    assert all(np.array_equal(model.read(info), local.read(info)) for info in local.tensors)
    assert model.name == "hf://owner/small"
    assert len(open_calibration(str(text_file), model, samples=2)) == 2
    assert set(site.fetched) == {path.name for path in model_folder("gpt2").iterdir()}
    site.fetched.clear()
    open_model("hf://owner/small@main")
    assert site.fetched == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hf://owner/none", "can not be had .it is not there, or private"),
        ("hf://owner/small@v9", "can not be had .there is no such revision"),
        ("hf://owner/pickled", "has no safetensors, and pickles are not fetched"),
        ("hf://owner/bare", "has no config.json"),
        ("hf://", "a model of the hub reads hf://owner/repo"),
        ("hf://datasets/owner/small", "a model of the hub reads hf://owner/repo"),
    ],
)
def test_what_is_not_to_be_had_is_told_in_one_line(text: str, said: str, site: type[Hub]) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        open_model(text)
    assert "\n" not in str(caught.value)


def test_a_model_larger_than_memory_is_not_fetched(site: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "find_free_memory", lambda: 1000)
    with pytest.raises(ValueError, match=r"and 1000 B of memory are free"):
        open_model("hf://owner/small")
    assert site.fetched == []


def test_a_hub_that_can_not_be_reached_is_told(site: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match="can not be had") as caught:
        open_model("hf://owner/small")
    assert "\n" not in str(caught.value)
