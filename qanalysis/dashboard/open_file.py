"""How does a page take a file? A box with samples and paths below the root, and an upload: the same for checkpoints
and for records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from qanalysis.checkpoints.path_policy import UPLOAD_LIMIT_MB
from qanalysis.checkpoints.remote.addresses import is_address
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.sources import (
    PARTIAL_PREFIX,
    QUANTIZED_PREFIX,
    UPLOAD_PREFIX,
    UploadStore,
    allows_remote,
    name_source,
    read_root,
)
from qanalysis.dashboard.wording import escape_markdown


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a page opens: the field of its view, how it is called, its samples, its suffixes, where its uploads are kept
    and what lies below the root.

    `list_paths` is given the root folder; suffixes are in lower case with their dot.
    """

    field: str
    label: str
    noun: str
    help: str
    samples: tuple[str, ...]
    suffixes: tuple[str, ...]
    get_store: Callable[[], UploadStore]
    list_paths: Callable[[str], list[str]]
    takes_addresses: bool = False

    @property
    def options(self) -> list[str]:
        """Samples, then the paths below the root, as texts of sources."""
        samples = [f"{SAMPLE_PREFIX}{name}" for name in self.samples]
        return list(dict.fromkeys([*samples, *self.list_paths(str(read_root()))]))


def draw_picker(kind: FileKind) -> None:
    """The box, and the upload in a popover beside it.

    The box's key is the field of the view and takes typed texts too. A refused upload is told once, below the box; the
    limit is `UPLOAD_LIMIT_MB`. An upload reads as the name of its file.
    """
    key = keep(kind.field)
    held = str(st.session_state.get(key) or "")
    is_elsewhere = held.startswith((UPLOAD_PREFIX, PARTIAL_PREFIX, QUANTIZED_PREFIX)) or is_address(held)
    options = [*kind.options, *([held] if is_elsewhere else [])]
    st.selectbox(kind.label, options, key=key, format_func=_name_option, accept_new_options=True, help=kind.help)
    with st.popover(f"Your own {kind.noun}", width="stretch"):
        folder = escape_markdown(read_root().resolve().name)
        st.markdown(
            f"Type or choose a path below the folder **{folder}** in the box *{kind.label}*. "
            f"Start the app with `qanalysis app --root DIR` for another folder. {_tell_addresses(kind)}"
            "A small file can be uploaded here; it is removed after an hour."
        )
        # A new key empties the uploader, so that the bytes are not held a second time.
        key = f"{kind.field}-upload-{st.session_state.get(_count_key(kind), 0)}"
        # Browsers refuse suffixes with other marks; such files come in pairs, which an upload can not be.
        kinds = [suffix.removeprefix(".") for suffix in kind.suffixes if suffix.removeprefix(".").isalnum()]
        st.file_uploader(
            f"Upload a {kind.noun}",
            type=kinds,
            key=key,
            max_upload_size=UPLOAD_LIMIT_MB,
            on_change=_keep_upload,
            args=(kind, key),
        )
    refused = st.session_state.pop(_refusal_key(kind), None)
    if refused:
        st.error(escape_markdown(refused), icon=":material/error:")


def _tell_addresses(kind: FileKind) -> str:
    """What the box takes besides paths, where its files may lie elsewhere."""
    if not kind.takes_addresses:
        return ""
    if allows_remote():
        return "It takes `hf://OWNER/REPO` and `https://` addresses of public servers too. "
    return "With `qanalysis app --remote` it takes `hf://OWNER/REPO` and `https://` addresses too. "


def _name_option(text: str) -> str:
    """A source as the box shows it: an upload by its file's name, without the folder that keeps it, and a set that
    lacks parts by its path.
    """
    marks = {UPLOAD_PREFIX: "uploaded", PARTIAL_PREFIX: "in part"}
    mark = next((mark for prefix, mark in marks.items() if text.startswith(prefix)), "")
    return f"{name_source(text)} ({mark})" if mark else text


def _keep_upload(kind: FileKind, key: str) -> None:
    """Keep what was uploaded and put it in the box; for the uploader's callback. A refusal waits for the next run."""
    file = st.session_state.get(key)
    if file is None:
        return
    try:
        st.session_state[kind.field] = kind.get_store().save(file.name, file.getvalue())
    except ValueError as error:
        st.session_state[_refusal_key(kind)] = str(error)
    st.session_state[_count_key(kind)] = st.session_state.get(_count_key(kind), 0) + 1


def _count_key(kind: FileKind) -> str:
    """Where the session counts the uploads of a kind: a number in the uploader's key."""
    return f"uploads of {kind.field}"


def _refusal_key(kind: FileKind) -> str:
    """Where the session keeps why an upload was refused, until it was told."""
    return f"refused {kind.field}"
