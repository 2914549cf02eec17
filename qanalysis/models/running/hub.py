"""How does hf://owner/repo[@revision] become a folder? Its configuration, safetensors and tokenizer are downloaded.

No code and no pickle is fetched. What was fetched before is taken from the cache of huggingface_hub.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qanalysis.models.factory import describe_error
from qanalysis.models.running.memory import check_room
from qanalysis.models.running.silence import silenced
from qanalysis.notation import quote

HUB_PREFIX = "hf://"
_NEEDS = "addresses of the hub need huggingface_hub; install it with `pip install 'qanalysis[hf]'`"
_FORM = "a model of the hub reads hf://owner/repo[@revision]"
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.tiktoken", "*.spm", "*.bpe")
#: Copies of weights in another tool's layout.
_LEFT_OUT = ("consolidated*.safetensors",)
_WAIT_S = 20.0


def fetch_folder(text: str) -> Path:
    """The folder in the local cache that holds the repository's files. Raises ValueError for an address that names no
    model, what is not there or not to be had, and for weights that are larger than memory.
    """
    try:
        with silenced():
            import huggingface_hub as hub
    except ImportError:
        raise ValueError(f"{quote(text)}: {_NEEDS}") from None
    repository, revision, inside = _parse(hub, text)
    begin = f"{inside}/" if inside else ""
    options: dict[str, Any] = {
        "repo_id": repository,
        "revision": revision or None,
        "token": os.environ.get("HF_TOKEN", "").strip() or False,
    }
    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        with silenced():
            _check_size(hub, text, begin, endpoint, options)
            path = hub.snapshot_download(
                **options,
                endpoint=endpoint,
                allow_patterns=[f"{begin}{pattern}" for pattern in _WANTED],
                ignore_patterns=[f"{begin}*/*", *(f"{begin}{pattern}" for pattern in _LEFT_OUT)],
                etag_timeout=_WAIT_S,
            )
    except ValueError:
        raise
    except Exception as error:  # of the network, of the disk, of what the hub answers
        raise ValueError(f"{quote(text)} can not be had ({_explain(error)})") from error
    return Path(path) / inside


def _parse(hub: Any, text: str) -> tuple[str, str, str]:
    try:
        found = hub.parse_hf_uri(f"{HUB_PREFIX}{text[len(HUB_PREFIX) :]}")
    except ValueError:
        raise ValueError(f"{quote(text)} is no address of the hub: {_FORM}") from None
    inside = found.path_in_repo.strip("/")
    if found.type != "model" or {".", ".."} & set(inside.split("/")):
        raise ValueError(f"{quote(text)} names no model: {_FORM}")
    return found.id, found.revision or "", inside


def _check_size(hub: Any, text: str, begin: str, endpoint: str | None, options: dict[str, Any]) -> None:
    """Weights are at least as large in memory as in their files."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return
    info = hub.HfApi(endpoint=endpoint).model_info(**options, files_metadata=True, timeout=_WAIT_S)
    names = {one.rfilename: one.size or 0 for one in info.siblings or ()}
    here = {name.removeprefix(begin): count for name, count in names.items() if name.startswith(begin)}
    if "config.json" not in here:
        raise ValueError(
            f"{quote(text)} has no config.json, which says what its model is; give a repository with a model of "
            "transformers"
        )
    weights = [count for name, count in here.items() if name.endswith(".safetensors") and "/" not in name]
    if not weights:
        raise ValueError(
            f"{quote(text)} has no safetensors, and pickles are not fetched; take another revision or copy"
        )
    check_room(sum(weights), text)


def _explain(error: Exception) -> str:
    name = type(error).__name__
    said = {
        "RepositoryNotFoundError": "it is not there, or private; check the spelling, or set HF_TOKEN",
        "RevisionNotFoundError": "there is no such revision; check the spelling",
        "GatedRepoError": "accept the model's terms on the hub and set HF_TOKEN",
        "LocalEntryNotFoundError": "the hub can not be reached and nothing of it is in the cache; give a local folder",
        "OfflineModeIsEnabled": "HF_HUB_OFFLINE forbids to ask the hub; unset it, or give a local folder",
    }
    return said.get(name, describe_error(error))
