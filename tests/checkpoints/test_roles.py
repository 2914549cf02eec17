"""Names as models have them get the roles that they have, keys come before names, and names before shapes."""

from __future__ import annotations

import gguf
import pytest
import torch

from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.roles import assign_roles
from qanalysis.checkpoints.source import MEASURED_ROLES, TensorInfo
from tests.checkpoints.published_names import TABLES


def make_info(name, shape, dtype="float32", **fields):
    decodes = dtype.startswith(("float", "bfloat")) and not fields.get("reason")
    return TensorInfo(name, tuple(shape), dtype, 4, decodes=decodes, **fields)


def read_line(line):
    shape, name, role = line.split()
    dtype, _, sizes = shape.rpartition(":")
    sizes = () if sizes == "-" else tuple(map(int, sizes.split("x")))
    return make_info(name, sizes, dtype or "float32"), role


def roles_of(*infos, **evidence):
    return {info.name: info.role for info in assign_roles(infos, Evidence(**evidence))}


PUBLISHED = [(family, line.strip()) for family, table in TABLES.items() for line in table.strip().splitlines()]


def test_the_table_holds_many_names_of_many_architectures():
    assert len(PUBLISHED) >= 250
    assert len({line for _, line in PUBLISHED}) == len(PUBLISHED)


@pytest.mark.parametrize("family", TABLES)
def test_published_names_have_their_roles(family):
    pairs = [read_line(line) for line in TABLES[family].strip().splitlines()]
    plain = make_info("some.linear.weight", (32, 64))
    found = roles_of(plain, *(info for info, _ in pairs))
    assert [(info.name, found[info.name], role) for info, role in pairs if found[info.name] != role] == []


def test_a_key_comes_before_a_name():
    weight = make_info("optimizer.state.0.weight", (32, 64))
    assert roles_of(weight) == {weight.name: "optimizer"}


def test_a_name_comes_before_a_shape():
    found = roles_of(make_info("bn.running_var", (50, 8)), make_info("x", (50, 8)), config={"vocab_size": 50})
    assert found == {"bn.running_var": "buffer", "x": "embedding"}


@pytest.mark.parametrize(
    "key",
    ["ema", "model_ema", "ema_state_dict", "ema_model", "state_dict_ema", "averaged_model", "swa_model", "params_ema"],
)
def test_an_averaged_copy_beside_the_plain_one_is_an_average(key):
    plain, copy = make_info("model.fc.weight", (32, 64)), make_info(f"{key}.fc.weight", (32, 64))
    assert roles_of(plain, copy) == {plain.name: "weight", copy.name: "average"}


@pytest.mark.parametrize("key", ["ema", "params_ema", "swa_model", "teacher", "g_ema"])
def test_an_average_without_a_plain_copy_is_the_model(key):
    infos = make_info(f"{key}.fc.weight", (32, 64)), make_info(f"{key}.fc.bias", (32,)), make_info("d.weight", (7, 9))
    assert list(roles_of(*infos).values()) == ["weight", "bias", "weight"]


def test_an_average_whose_names_lost_their_dots_is_known_by_its_shapes():
    plain, copy = make_info("model.a.b.weight", (32, 64)), make_info("model_ema.abweight", (32, 64))
    assert roles_of(plain, copy)[copy.name] == "average"


@pytest.mark.parametrize(("name", "plain"), [("g.w_ema", "g.w"), ("a.ema.w", "a.w"), ("a.shadow_net.w", "a.w")])
def test_an_average_inside_a_model_needs_its_twin(name, plain):
    assert roles_of(make_info(name, (32, 64)), make_info(plain, (32, 64)))[name] == "average"
    assert roles_of(make_info(name, (32, 64)), make_info(plain, (32, 65)))[name] == "weight"


@pytest.mark.parametrize("plain", ["fc.weight", "student.fc.weight"])
def test_a_teacher_is_an_average_only_beside_its_twin(plain):
    teacher = make_info("teacher.fc.weight", (32, 64))
    assert roles_of(teacher, make_info(plain, (32, 64)))[teacher.name] == "average"
    assert roles_of(teacher, make_info("other.weight", (32, 64)))[teacher.name] == "weight"


def test_a_scale_is_a_quantizers_only_where_its_stem_has_codes():
    codes = make_info("a.weight", (32, 64), "int8")
    packed = make_info("b.weight", (32, 64), "int32", stored="gptq int4 group=64")
    floats = make_info("c.weight", (32, 64), "float8_e4m3fn")
    scales = [make_info(f"{stem}.scale", (32, 2)) for stem in "abcd"]
    found = roles_of(codes, packed, floats, make_info("d.weight", (32, 64)), *scales)
    assert [found[info.name] for info in scales] == ["scale", "scale", "scale", "weight"]


def test_scales_without_any_weight_in_the_file_are_measured_with_a_note():
    alone = make_info("l.weight_scale", (64, 2))
    (found,) = assign_roles([alone], Evidence())
    assert found.role == "weight"
    assert "codes are not in the file" in found.note
    assert roles_of(alone, make_info("m.weight", (64, 64)))[alone.name] == "scale"


def test_mlx_biases_are_scales_beside_scales_and_biases_elsewhere():
    infos = [make_info("a.biases", (64, 2)), make_info("a.scales", (64, 2)), make_info("b.biases", (64,))]
    found = roles_of(make_info("w", (4, 4)), *infos)
    assert [found[info.name] for info in infos] == ["scale", "scale", "bias"]


@pytest.mark.parametrize(
    ("fields", "role"),
    [
        ({"dtype": "int32"}, "buffer"),
        ({"dtype": "int32", "reason": "looks like gptq, but l.scales is missing"}, "weight"),
        ({"dtype": "int32", "stored": "gptq int4 group=128"}, "weight"),
        ({"dtype": "float32", "reason": "no values stored (meta tensor)"}, "weight"),
        ({"dtype": "complex64"}, "weight"),
        ({"dtype": "bool"}, "buffer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_weights_that_are_no_floats(fields, role):
    assert roles_of(make_info("l.weight", (32, 64), **fields)) == {"l.weight": role}


def test_what_no_word_tells_is_told_by_the_shape():
    found = roles_of(make_info("x", (3, 4)), make_info("y", (9,)), make_info("z", ()), make_info("weight", (9,)))
    assert found == {"x": "weight", "y": "weight", "z": "buffer", "weight": "norm"}


def test_every_name_that_gguf_writes_is_a_norm_by_its_word_and_measured_otherwise():
    """The names come from the package that llama.cpp's converters write them with."""
    names = {form.format(bid=0, xid=1) + ".weight" for form in gguf.TENSOR_NAMES.values()}
    assert len(names) > 200
    found = roles_of(*(make_info(name, (64, 32)) for name in names))
    norms = {name for name in names if found[name] == "norm"}
    assert {name for name in names if "norm" in name.split(".")[-2]} <= norms
    assert {name.split(".")[-2] for name in norms if "norm" not in name.split(".")[-2]} <= {
        "bn", "ln1", "ln2", "ln_kv", "ln_post", "ln_q", "post_ln", "pre_ln", "time_mix_ln",
    }  # fmt: skip
    others = {name: role for name, role in found.items() if role != "norm"}
    assert {name for name, role in others.items() if role not in MEASURED_ROLES} == {
        "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
    }  # fmt: skip


OPTIMIZERS = ("Adadelta", "Adafactor", "Adagrad", "Adam", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("key", ["", "optimizer.", "optimizer_states.0.", "opt_g.", "model.optimizer."])
def test_the_state_of_every_optimizer_of_torch_is_known_with_and_without_a_key(kind, key):
    module = torch.nn.Linear(4, 3)
    words = {"momentum": 0.9} if kind == "SGD" else {}
    optimizer = getattr(torch.optim, kind)(module.parameters(), lr=0.01, **words)
    module(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    infos = [
        make_info(f"{key}state.{number}.{word}", value.shape)
        for number, state in optimizer.state_dict()["state"].items()
        for word, value in state.items()
        if torch.is_tensor(value)
    ]
    assert any(info.shape for info in infos)
    roles = roles_of(make_info("model.weight", (3, 4)), *infos)
    assert {roles[info.name] for info in infos if info.shape} == {"optimizer"}
    assert {roles[info.name] for info in infos if not info.shape} <= {"optimizer", "buffer"}
