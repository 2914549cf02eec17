"""What does an address stand for? A repository of the hub at one commit, a file of it, or a file of a plain server.

Routes of the hub: https://huggingface.co/docs/hub/api. They are asked with this package's own session: the library's
calls wait without end, try again for half a minute, follow redirects to anywhere, and ask one route more to count who
uses them. Its grammar of hf:// addresses and its address of a file are used as they are.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from qanalysis.checkpoints.data_file import Folder
from qanalysis.checkpoints.remote.addresses import HUB_PREFIX, Url, show
from qanalysis.checkpoints.remote.folders import HubFolder, UrlFolder
from qanalysis.checkpoints.remote.session import Key, Session
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.notation import shorten

#: Name the hub to ask, the token that is sent to it, and that it is not asked, as they do for the hub's own tools.
ENDPOINT_VARIABLE, TOKEN_VARIABLE, OFFLINE_VARIABLE = "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE"
_LIST_BYTES = 1 << 25
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NEEDS = "addresses of the hub need huggingface_hub; install it with `pip install 'qanalysis[hub]'`"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address leads: the `folder`, the `name` of a file in it (None: its own model), what people call it
    (`shown`), sentences about it, and `identity`, which changes with what lies there.
    """

    folder: Folder
    session: Session
    name: str | None
    shown: str
    identity: str
    notes: tuple[str, ...] = ()

    def close(self) -> None:
        """Hang up. Files that were opened can still be read."""
        self.session.close()


def find_place(text: str, *, public_only: bool = False) -> Place:
    """Where an hf://, https:// or http:// address leads. One question is asked, of a plain server for the file's
    beginning.

    With `public_only` no machine of a private network is reached but that of HF_ENDPOINT. A token is taken from
    HF_TOKEN alone, and sent to HF_ENDPOINT alone. Raises CheckpointError.
    """
    try:
        endpoint = Url.parse(os.environ.get(ENDPOINT_VARIABLE) or "https://huggingface.co")
    except CheckpointError as error:
        raise CheckpointError(f"{ENDPOINT_VARIABLE} is set to {error}") from None
    session = Session(key=_find_key(endpoint), public_only=public_only)
    try:
        if text.lower().startswith(HUB_PREFIX):
            return _find_in_hub(text, session, str(endpoint).rstrip("/"))
        return _find_on_server(Url.parse(text), session)
    except BaseException:
        session.close()
        raise


def _find_on_server(url: Url, session: Session) -> Place:
    folder = UrlFolder(session, url)
    if not folder.own_name:
        raise CheckpointError(f"{url.shown} names a folder, which a plain server does not list; give a file of it")
    return Place(folder, session, folder.own_name, url.shown, folder.read_own().version)


def _find_key(endpoint: Url) -> Key:
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise CheckpointError("HF_TOKEN holds signs that no token has; set it again, or unset it")
    return Key(endpoint.origin, token)


def _find_in_hub(text: str, session: Session, base: str) -> Place:
    try:
        from huggingface_hub import hf_hub_url
    except ImportError:
        raise CheckpointError(f"{show(text)}: {_NEEDS}") from None
    if os.environ.get(OFFLINE_VARIABLE, "").upper() in ("1", "ON", "YES", "TRUE"):
        raise CheckpointError(
            f"{show(text)}: {OFFLINE_VARIABLE} forbids to ask the hub; unset it, or give a local folder"
        )
    repository, revision, path = _parse_address(text)
    wanted = revision or "main"
    try:
        commit, sizes = _list_files(session, f"{base}/api/models/{repository}", wanted)
    except CheckpointError as error:
        raise CheckpointError(f"{show(text)}: {error}") from None

    def locate(file: str) -> Url:
        return Url.parse(hf_hub_url(repository, file, revision=commit or wanted, endpoint=base))

    is_folder = path not in sizes and (not path or any(one.startswith(f"{path}/") for one in sizes))
    inside, _, name = (path, "", "") if is_folder else path.rpartition("/")
    folder = HubFolder(repository, session, sizes, locate, inside=inside, pinned=bool(commit))
    shown = f"{HUB_PREFIX}{repository}{f'@{revision}' if revision else ''}{f'/{path}' if path else ''}"
    identity = f"{base} {repository} {commit or sorted(sizes)} {path}"
    notes = (f"{repository} at {shorten(wanted, 80)!r} is commit {commit}",) if commit not in ("", wanted) else ()
    return Place(folder, session, name or None, shorten(shown, 160), identity, notes)


def _parse_address(text: str) -> tuple[str, str, str]:
    """Repository, revision (empty: the default one) and path (empty: all of it)."""
    from huggingface_hub import parse_hf_uri

    form = "addresses of models of the hub read hf://owner/repo[@revision][/file]"
    try:
        asked = parse_hf_uri(f"{HUB_PREFIX}{text[len(HUB_PREFIX) :]}")
    except ValueError as error:
        raise CheckpointError(f"{show(text)}: {shorten(str(error).partition(chr(39) + '. ')[2], 200)} {form}") from None
    path = asked.path_in_repo.strip("/")
    if asked.type != "model" or {"", ".", ".."} & set(path.split("/") if path else ()):
        raise CheckpointError(f"{show(text)} names no model: {form}")
    return asked.id, asked.revision or "", path


def _list_files(session: Session, route: str, revision: str) -> tuple[str, Mapping[str, int | None]]:
    """The commit of a revision and the files at it, with their sizes."""
    url = Url.parse(f"{route}/revision/{quote(revision, safe='')}?blobs=true")
    found = _parse(session.read_whole(url, _LIST_BYTES), url)
    commit, files = str(found.get("sha", "")), found.get("siblings")
    if not isinstance(files, list):
        raise CheckpointError(f"{url.shown}: its answer lists no files; check the address and HF_ENDPOINT")
    sizes: dict[str, int | None] = {}
    for file in files:
        path = file.get("rfilename") if isinstance(file, dict) else None
        size = file.get("size") if isinstance(file, dict) else None
        if isinstance(path, str) and 0 < len(path) <= 1024:
            sizes[path] = size if type(size) is int and 0 <= size < 1 << 63 else None
    return (commit if _COMMIT.fullmatch(commit) else ""), sizes


def _parse(data: bytearray, url: Url) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CheckpointError(f"{url.shown}: its answer is no list of files; check the address and HF_ENDPOINT")
    return found
