"""Which model and which data may a page run? Samples, and files and folders below the root or uploaded.

No code is imported for a page: functions of a user's own, and programs whose loading runs code, are left to the command
line, where a person has typed them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import streamlit as st

from qanalysis.checkpoints.path_policy import list_files, resolve_inside
from qanalysis.checkpoints.remote.addresses import is_address, show
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.sources import UPLOAD_PREFIX, UploadStore, identify_source, name_source, read_root
from qanalysis.notation import quote, shorten

#: The samples that are models and not only weights.
MODEL_SAMPLES = ("digits-cnn", "digits-mlp", "words-transformer")
#: Data of the model itself, which samples bring along.
OWN_DATA = "sample"
RESULT_SUFFIXES = (".json", ".parquet", ".csv")
MODEL_SUFFIXES = (".onnx",)
DATA_SUFFIXES = (".npz", ".npy", ".txt")
CONFIG = "config.json"
_HEAD_BYTES, _TAIL_BYTES = 4096, 1 << 16
_JSON_MARKS = (b'"command": "sensitivity"', b'"command": "forms"', b'"side": [')
_CSV_MARKS = (b"layer,tensor,target,mode,", b"form,target,bits,")
_PARQUET_MARKS = (b"noise_floor_sqnr_db", b"weight_scheme")


@st.cache_resource
def get_model_uploads() -> UploadStore:
    """The server's uploaded models and results of sensitivities."""
    return UploadStore(suffixes=(*MODEL_SUFFIXES, *RESULT_SUFFIXES))


@st.cache_resource
def get_data_uploads() -> UploadStore:
    """The server's uploaded calibration data."""
    return UploadStore(suffixes=DATA_SUFFIXES)


@st.cache_resource(ttl=10, max_entries=4, show_spinner=False)
def list_models(root: str) -> list[str]:
    """Folders with a config.json, ONNX files and rows of sensitivities below the root, relative to it; at most 200."""
    found = []
    for name in list_files(Path(root), (*MODEL_SUFFIXES, *RESULT_SUFFIXES)):
        path = Path(root, name)
        if path.name == CONFIG:
            found.append(Path(name).parent.as_posix())
        elif path.suffix.lower() not in RESULT_SUFFIXES or _is_result(path):
            found.append(name)
    return [name for name in dict.fromkeys(found) if name != "."]


def _is_result(path: Path) -> bool:
    """Whether a file looks like a table that the page shows: by its beginning, of Parquet by its end."""
    try:
        with path.open("rb") as file:
            if path.suffix.lower() == ".parquet":
                file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
                tail = file.read()
                return tail.endswith(b"PAR1") and any(mark in tail for mark in _PARQUET_MARKS)
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return any(mark in head for mark in _JSON_MARKS) or head.startswith(_CSV_MARKS)


def is_result(text: str) -> bool:
    """Whether a text names rows that were measured before, by its suffix."""
    return Path(text).suffix.lower() in RESULT_SUFFIXES


def locate_model(text: str, *, way_out: str = "") -> str:
    """What is opened for the text of a model: a sample's own text, or the path of a file or a folder inside the root.

    Raises ValueError for functions and programs, whose loading runs code, for addresses, and for what is no model;
    CheckpointError for a path outside the root.
    """
    if text.startswith(SAMPLE_PREFIX):
        if text.removeprefix(SAMPLE_PREFIX) not in MODEL_SAMPLES:
            named = ", ".join(f"{SAMPLE_PREFIX}{name}" for name in MODEL_SAMPLES)
            raise ValueError(f"{quote(text)} is no sample that runs; samples that run are {named}")
        return text
    if is_address(text):
        raise ValueError(f"{show(text)}: the page opens no model by its address; {way_out or _command(show(text))}")
    if text.startswith(UPLOAD_PREFIX):
        return str(get_model_uploads().locate(text))
    if _is_code(text):
        raise ValueError(
            f"{quote(text)} runs code when it is opened, and a page runs none; {way_out or _command(text)}"
        )
    path = resolve_inside(read_root(), text)
    if path.is_dir():
        _check_folder(path, text)
    elif path.suffix.lower() not in MODEL_SUFFIXES:
        raise ValueError(
            f"{quote(text)} holds weights without a model that runs; give the folder with its config.json, an .onnx "
            "file, or a sample"
        )
    return str(path)


def _command(text: str) -> str:
    command = f"qanalysis sensitivity {shorten(text, 60)} --calib DATA --out rows.json"
    return f"measure it with `{command}`, and open that file here"


def _is_code(text: str) -> bool:
    """Whether a text names a function, or a file of which code is run."""
    return ":" in text or text.lower().endswith((".pt2", ".py"))


def _check_folder(path: Path, text: str) -> None:
    if not (path / CONFIG).is_file():
        raise ValueError(
            f"folder {quote(text)} has no {CONFIG}; give the folder of a Hugging Face model, or an .onnx file"
        )
    home = os.path.realpath(read_root())
    for entry in path.iterdir():
        if not Path(os.path.realpath(entry)).is_relative_to(home):
            raise ValueError(
                f"folder {quote(text)}: {quote(entry.name)} links to a place outside the root folder; copy the file "
                "into it, or start the app with another --root"
            )


def locate_data(text: str, model: str) -> str:
    """What is opened for the text of calibration data: "sample" with a sample, or a path inside the root.

    Raises ValueError for functions and for a model that brings no data, CheckpointError for a path outside the root.
    """
    if text == OWN_DATA or text.startswith(SAMPLE_PREFIX):
        if text == OWN_DATA and not model.startswith(SAMPLE_PREFIX):
            raise ValueError(f"{quote(name_source(model))} brings no data of its own; give samples of its inputs")
        return text
    if text.startswith(UPLOAD_PREFIX):
        return str(get_data_uploads().locate(text))
    if is_address(text) or ":" in text:
        raise ValueError(f"calibration data {quote(text)} is no file; give a path below the root folder")
    return str(resolve_inside(read_root(), text))


def locate_weights(text: str) -> str | None:
    """The path of a checkpoint inside the root, None for an empty text; CheckpointError for one outside."""
    return str(resolve_inside(read_root(), text)) if text else None


def identify_data(text: str, model: str) -> str:
    """A digest that changes with the data's files; raises as `locate_data`."""
    located = locate_data(text, model)
    if located == text:
        return text
    path = Path(located)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files[:10_000]:
        status = file.stat()
        digest.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="replace"))
    return digest.hexdigest()[:16]


def identify_model(text: str, weights: str) -> str:
    """A digest that changes with the model's files and its other weights; raises as `locate_model`."""
    locate_model(text)
    own = identify_source(text, get_model_uploads())
    return f"{own} {identify_source(weights, get_model_uploads())}" if weights else own
