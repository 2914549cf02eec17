"""Which files of torch does the fuzz begin with, and how are they changed? Both layouts, of state dicts, whole trainings,
views, quantized and sparse tensors; their pickles are changed as programs, their archives as archives.
"""

from __future__ import annotations

import io
import json
import pickletools
import random
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tests.fuzz.case import Case, Reader
from tests.fuzz.odd_values import change_json
from tests.fuzz.pickle_programs import change_program, split_program
from tests.fuzz.zip_files import Members, change_members, lie, pack_members

_MEMBERS = (
    "archive/data.pkl",
    "archive/data/0",
    "archive/version",
    "archive/byteorder",
    "archive/constants.pkl",
    "x" * 3000,
)


@dataclass(frozen=True, slots=True)
class Saved:
    """A pickle as instructions, the members of the archive around it, or of the old layout what lies before and behind;
    `beside` are other files, `lies` in the directory of the archive.
    """

    program: tuple[bytes, ...]
    members: Members = ()
    before: bytes = b""
    behind: bytes = b""
    name: str = "model.pt"
    beside: tuple[tuple[str, bytes], ...] = ()
    lies: int = 0


def list_contents() -> list[Any]:
    torch.manual_seed(5)
    layer = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.LSTM(4, 4))
    optimizer = torch.optim.Adam(layer.parameters())
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    base = torch.randn(8, 40)
    integers = torch.randint(0, 100, (8, 4), dtype=torch.int32)
    return [
        {"l.weight": base, "l.bias": base[:, 0].clone(), "half": base.bfloat16(), "steps": torch.arange(3)},
        {
            "model": layer.state_dict(),
            "optimizer": optimizer.state_dict(),
            "ema": OrderedDict(layer.state_dict()),
            "best": np.float64(0.5),
            "history": np.arange(6.0).reshape(2, 3),
            "words": ["a", 1, 2.5, None, True, (1, 2), {3}],
        },
        {
            "turned": base.t(),
            "part": base[2:5, ::3],
            "expanded": torch.ones(1, 1, 8).expand(4, 8, 8),
            "wide": torch.ones(1).expand(1 << 31, 8),
            "tied.a": base,
            "tied.b": base,
            "parameter": torch.nn.Parameter(base[:2]),
            "fp8": base.to(torch.float8_e4m3fn),
            "complex": torch.ones(2, 2, dtype=torch.complex64),
            "empty": torch.empty(0, 4),
            "scalar": torch.tensor(1.5),
        },
        {
            "channel": torch.quantize_per_channel(
                base, torch.full((8,), 0.1), torch.zeros(8, dtype=torch.long), 0, torch.qint8
            ),
            "tensor": torch.quantize_per_tensor(base, 0.1, 3, torch.quint8),
            "sparse": base.relu().to_sparse(),
            "meta": torch.empty(4, 4, device="meta"),
        },
        {
            "l.qweight": integers,
            "l.qzeros": integers[:2, :1],
            "l.scales": torch.ones(2, 4).half(),
            "l.g_idx": torch.arange(64) // 32,
        },
        base,
    ]


def _save(content: Any, *, zipped: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def _take_apart(data: bytes) -> Saved:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    program = next(name for name in members if name.endswith("data.pkl"))
    return Saved(tuple(split_program(members.pop(program))), tuple(members.items()))


def _cut_legacy(data: bytes) -> Saved:
    """The fourth of five pickles is the content."""
    places = [0]
    for _ in range(5):
        *_, (_, _, last) = pickletools.genops(data[places[-1] :])
        places.append(places[-1] + last + 1)
    program = split_program(data[places[3] : places[4]])
    return Saved(tuple(program), before=data[: places[3]], behind=data[places[4] :])


def make_models() -> list[Saved]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, on what it will no longer have
        contents = list_contents()
        zipped = [_take_apart(_save(content, zipped=True)) for content in contents]
        legacy = [_cut_legacy(_save(content, zipped=False)) for content in contents[:2] + contents[4:]]
    second = _save({"m.weight": torch.ones(3, 4)}, zipped=True)
    index = {
        "metadata": {},
        "weight_map": {"l.weight": "pytorch_model-00001-of-00002.bin", "m.weight": "pytorch_model-00002-of-00002.bin"},
    }
    beside = (
        ("pytorch_model-00002-of-00002.bin", second),
        ("pytorch_model.bin.index.json", json.dumps(index).encode()),
    )
    return [*zipped, *legacy, replace(zipped[0], name="pytorch_model-00001-of-00002.bin", beside=beside)]


def change(rng: random.Random, model: Saved, models: Sequence[Saved]) -> Saved:
    kind = rng.randrange(10)
    if kind == 0 and model.members:
        return replace(model, members=change_members(rng, model.members, _MEMBERS))
    if kind == 1 and model.members:
        return replace(model, lies=model.lies + 1)
    if kind == 2 and model.members:
        return replace(model, members=(*model.members, *rng.choice(models).members))
    if kind == 3 and model.beside:
        files = dict(model.beside)
        name = next(name for name in files if name.endswith(".json"))
        files[name] = json.dumps(change_json(rng, json.loads(files[name]))).encode()
        return replace(model, beside=tuple(files.items()))
    if kind == 4 and model.behind:
        cut = rng.randrange(len(model.behind) + 1)
        return replace(model, behind=rng.choice((model.behind[:cut], model.behind[cut:], model.behind * 2)))
    if kind == 5:
        return replace(model, program=model.program + rng.choice(models).program)
    return replace(model, program=change_program(rng, model.program))


def write(rng: random.Random, model: Saved) -> Case:
    program = b"".join(model.program)
    files = dict(model.beside)
    if model.before:
        files[model.name] = model.before + program + model.behind
    else:
        root = model.members[0][0].split("/")[0] if model.members else "archive"
        data = pack_members(rng, ((f"{root}/data.pkl", program), *model.members))
        for _ in range(model.lies):
            data = lie(rng, data)
        files[model.name] = data
    return Case(files, rng.choice(["", *files]) if model.beside else model.name)


def make_reader() -> Reader:
    return Reader(make_models(), write, change)
