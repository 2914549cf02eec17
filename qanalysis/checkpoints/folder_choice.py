"""Which files of a folder are its model? Names tell: of two copies the main one, never an adapter, a variant of another
precision, or the state of a training beside a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Self

from qanalysis.checkpoints.data_file import Folder
from qanalysis.checkpoints.signatures import recognize
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.notation import shorten

INDEX_SUFFIXES = (".safetensors.index.json", ".bin.index.json")
#: How the names of the main files begin, where a folder holds several sets.
_MAIN = ("model", "diffusion_pytorch_model", "pytorch_model")
# in the order in which they are taken
_GROUPS = (
    (".safetensors",),
    (".bin", ".pt", ".pth", ".ckpt", ".pth.tar"),
    (".gguf",),
    (".onnx",),
    (".npz",),
    (".npy",),
)
_WEIGHTS = tuple(suffix for group in _GROUPS for suffix in group)
_NUMBERED = re.compile(r"(.*?)[-_.]?(\d{1,12})[-_]of[-_](\d{1,12})((?:\.\w+)*)")
_ADAPTER = re.compile(r"(adapter_model|adapters|pytorch_lora_weights|mmproj)|.*mmproj", re.IGNORECASE)
_VARIANT = re.compile(r".*[.](fp16|bf16|fp32|int8|fp8|ema|non_ema)[-.]", re.IGNORECASE)
_STATE = re.compile(
    r"(optimizer|scheduler|scaler|training_args|trainer_state|rng_state|random_states|zero_pp_rank|bf16_zero_pp_rank)"
    r"|.*(_optim_states\.pt$|imatrix)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A file that is one part of a set by its name, such as model-00001-of-00003.safetensors."""

    name: str
    number: int
    count: int
    span: tuple[int, int]

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The part that a name says, None for a name that says none."""
        found = _NUMBERED.fullmatch(name) if len(name) < 256 else None
        return cls(name, int(found[2]), int(found[3]), found.span(2)) if found else None

    @property
    def key(self) -> str:
        """What the names of a set have in common."""
        return self.rename(0).lower()

    def rename(self, number: int) -> str:
        """The name of another part of the set."""
        begin, end = self.span
        return f"{self.name[:begin]}{number:0{end - begin}}{self.name[end:]}"


def is_index(name: str) -> bool:
    """Whether a file says by its name which tensor lies in which shard."""
    return name.lower().endswith(INDEX_SUFFIXES)


def name_kind(index: str) -> str:
    """The suffix of the shards of an index, such as ".safetensors"."""
    return next(suffix for suffix in INDEX_SUFFIXES if index.lower().endswith(suffix)).removesuffix(".index.json")


def choose_index(folder: str, names: Sequence[str]) -> str | None:
    """The index of a folder; of several that of safetensors, of the main files, without a variant.

    Raises CheckpointError where that leaves more than one.
    """
    indexes = [name for name in names if is_index(name)]
    for keeps in (
        lambda name: not _VARIANT.match(name),
        lambda name: name.lower().endswith(INDEX_SUFFIXES[0]),
        lambda name: name.partition(".")[0].lower() in _MAIN,
        lambda name: name.partition(".")[0].lower() == _MAIN[0],
    ):
        indexes = [name for name in indexes if keeps(name)] or indexes
    if len(indexes) > 1:
        raise CheckpointError(
            f"folder {shorten(folder, 80)!r} holds {len(indexes)} indexes ({_list(indexes)}); open one of them"
        )
    return indexes[0] if indexes else None


def choose_files(folder: Folder, names: Sequence[str]) -> list[str]:
    """The files of the one model in a folder without an index: a numbered set, all .safetensors files, or the only file
    of its kind. Raises CheckpointError for none and for several.
    """
    if any(name.lower().endswith(".distcp") for name in names):
        raise CheckpointError(
            f"folder {_show(folder)} holds a distributed checkpoint of torch (.distcp), whose tensors lie in pieces; "
            "put it together with `python -m torch.distributed.checkpoint.format_utils dcp_to_torch`"
        )
    weights = [name for name in names if name.lower().endswith(_WEIGHTS) and not _STATE.match(name)]
    # a variant or an adapter that is alone is what there is
    for passes in (_is_main, lambda name: not _ADAPTER.match(name), lambda _name: True):
        chosen = _choose_group(folder, weights, passes)
        if chosen:
            return chosen
    raise CheckpointError(
        f"folder {_show(folder)} holds no weights and no index of shards (*{', *'.join(INDEX_SUFFIXES)}); open a "
        "checkpoint file of it by name"
    )


def list_aside(names: Sequence[str], taken: Collection[str], index: str | None) -> list[str]:
    """Files of weights, and indexes, beside those that are read."""
    kept = {*taken, index}
    return [name for name in names if name not in kept and (name.lower().endswith(_WEIGHTS) or is_index(name))]


def _is_main(name: str) -> bool:
    return not _ADAPTER.match(name) and not _VARIANT.match(name)


def _choose_group(folder: Folder, names: Sequence[str], passes: Callable[[str], bool]) -> list[str]:
    for group in _GROUPS:
        found = [name for name in names if name.lower().endswith(group) and passes(name)]
        if ".bin" in group and len(names) > 1:
            found = [name for name in found if _is_torch(folder, name)]  # external data of ONNX is called so too
        if found:
            return _choose_set(folder, found)
    return []


def _choose_set(folder: Folder, names: Sequence[str]) -> list[str]:
    sets: dict[str, list[str]] = {}
    for part in filter(None, map(Numbered.parse, names)):
        sets.setdefault(part.key, []).append(part.name)
    if sets:
        main = [key for key in sets if re.split(r"[-_.]\d", key)[0] in _MAIN] if len(sets) > 1 else list(sets)
        if len(main) == 1:
            return sets[main[0]]
        several = [names[0] for names in sets.values()]
        raise CheckpointError(
            f"folder {_show(folder)} holds parts of {len(sets)} sets ({_list(several)}); open one of them by name"
        )
    if len(names) == 1 or names[0].lower().endswith(_GROUPS[0]):
        return list(names)
    main = [name for name in names if name.partition(".")[0] in _MAIN]
    if len(main) == 1:
        return main
    raise CheckpointError(
        f"folder {_show(folder)} holds {len(names)} checkpoint files ({_list(names)}); open one of them by name"
    )


def _is_torch(folder: Folder, name: str) -> bool:
    file = folder.open(name)
    try:
        return recognize(file) in ("torch zip", "torch pickle", "pickle")
    except CheckpointError:
        return False
    finally:
        file.close()


def _list(names: Sequence[str]) -> str:
    return ", ".join(shorten(name, 80) for name in names[:2]) + (", ..." if len(names) > 2 else "")


def _show(folder: Folder) -> str:
    return repr(shorten(folder.name, 80))
