"""A row of a tensor's view is what one output of its layer depends on: changing it changes that output and no other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.roles import assign_roles
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.checkpoints.views import assign_views
from qanalysis.quantizers.matrix_view import MatrixView

OVERRIDE = "override with --axis"


def read_views(shapes, config=None, **fields):
    """Name to info, read as a file with these shapes."""
    evidence = Evidence(config=config or {})
    infos = [TensorInfo(name, tuple(shape), "float32", 4, **fields) for name, shape in shapes.items()]
    return {info.name: info for info in assign_views(assign_roles(infos, evidence), evidence)}


def view_of(name, shape, /, config=None, **beside):
    """The view of one tensor beside others, whose names have "__" for dots."""
    others = {other.replace("__", "."): size for other, size in beside.items()}
    return read_views({name: shape, **others}, config)[name]


def changed_outputs(weight, view, compute, row):
    """Places of the outputs, any shape, that change where one row of the view does."""
    matrix = view.to_matrix(weight).copy()
    matrix[row] += 1 + np.abs(matrix).max()
    before, after = compute(weight), compute(np.ascontiguousarray(view.from_matrix(matrix, weight.shape)))
    return np.abs(before - after) > 1e-4  # outputs are below 100, sums of some tens of float32: rounding is below 1e-5


def check_rows(weight, info, compute, channel_axes):
    """Each row of the view is one output channel, and all channels are rows."""
    rows, columns = info.view.sizes(info.shape)
    seen = set()
    for row in range(rows):
        changed = changed_outputs(weight, info.view, compute, row)
        channels = {tuple(place[axis] for axis in channel_axes) for place in np.argwhere(changed).tolist()}
        assert len(channels) == 1, (row, channels)
        seen |= channels
    outputs = compute(weight)
    assert len(seen) == rows == np.prod([outputs.shape[axis] for axis in channel_axes])
    assert rows * columns == weight.size


def run_module(module, inputs, parameter="weight"):
    """A function from the values of one parameter to the module's outputs."""

    def compute(weight):
        with torch.no_grad():
            values = {parameter: torch.from_numpy(np.ascontiguousarray(weight))}
            return torch.func.functional_call(module, values, inputs).numpy()

    return compute


def check_module(module, inputs, name="layer", channel_axes=(1,), parameter="weight"):
    torch.manual_seed(0)
    shapes = {f"{name}.{key}": tuple(value.shape) for key, value in module.state_dict().items()}
    info = read_views(shapes)[f"{name}.{parameter}"]
    weight = module.state_dict()[parameter].numpy().copy()
    check_rows(weight, info, run_module(module.double().float(), inputs, parameter), channel_axes)
    return info


def ones(*shape):
    """Inputs without a zero, so that every weight is seen in the output."""
    return torch.rand(*shape) + 0.5


def test_linear():
    check_module(torch.nn.Linear(5, 3), (ones(2, 5),))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4], ids=["plain", "grouped", "depthwise"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_convolutions(rank, groups, bias):
    kind = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)[rank - 1]
    check_module(kind(4, 8, 3, groups=groups, bias=bias), (ones(1, 4, *[5] * rank),))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4], ids=["plain", "grouped", "depthwise"])
@pytest.mark.parametrize(("inputs", "outputs"), [(4, 8), (8, 4)], ids=["wider", "narrower"])
def test_transposed_convolutions_are_told_by_their_bias(rank, groups, inputs, outputs):
    kind = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)[rank - 1]
    check_module(kind(inputs, outputs, 3, groups=groups), (ones(1, inputs, *[4] * rank),))


@pytest.mark.parametrize("groups", [1, 2, 4], ids=["plain", "grouped", "depthwise"])
@pytest.mark.parametrize("name", ["convtranspose", "deconv1", "dec.conv_transpose2d", "dec.convtr", "up_conv", "ups.3"])
def test_square_transposed_convolutions_are_told_by_their_name(groups, name):
    check_module(torch.nn.ConvTranspose2d(4, 4, 4, groups=groups), (ones(1, 4, 3, 3),), name)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_grouped_transposed_convolutions_of_any_size(groups, ins, outs, kernel):
    module = torch.nn.ConvTranspose1d(groups * ins, groups * outs, kernel, groups=groups)
    check_module(module, (ones(1, groups * ins, 4),), "decoder.convtranspose")


def test_a_transposed_convolution_without_bias_is_told_by_the_normalisation_behind_it():
    module = torch.nn.Sequential(torch.nn.ConvTranspose2d(6, 4, 4, bias=False), torch.nn.BatchNorm2d(4)).eval()
    check_module(module, (ones(1, 6, 3, 3),), parameter="0.weight")


def test_a_transposed_convolution_without_anything_beside_it_says_what_it_assumes():
    info = view_of("dec.convtr.weight", (64, 32, 4))
    assert info.view == MatrixView((1,))
    assert "one group" in info.note
    assert OVERRIDE in info.note


def test_a_convolution_named_upconv_with_an_odd_kernel_is_a_convolution():
    assert view_of("upconv1.weight", (64, 64, 3, 3), upconv1__bias=(64,)).view == MatrixView((0,))


@pytest.mark.parametrize("form", ["weight_g", "parametrizations"])
def test_weight_normed_transposed_convolutions_follow_the_bias(form):
    last = "weight_v" if form == "weight_g" else "parametrizations.weight.original1"
    assert view_of(f"ups.0.{last}", (64, 32, 16), ups__0__bias=(32,)).view == MatrixView((1,))
    packed = read_views({"ups.0.weight": (64, 32, 16), "ups.0.bias": (32,)}, stored="weight norm")["ups.0.weight"]
    assert packed.view == MatrixView((1,))


def test_bilinear():
    check_module(torch.nn.Bilinear(4, 5, 3), (ones(2, 4), ones(2, 5)), "bilinear")
    check_module(torch.nn.Bilinear(40, 50, 3), (ones(2, 40), ones(2, 50)), "pair")


def test_embedding():
    check_module(torch.nn.Embedding(7, 4), (torch.arange(7),), "embed", channel_axes=(0,))


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("parameter", ["weight_ih_l0", "weight_hh_l0"])
def test_recurrent_rows_reach_one_unit_each(kind, parameter):
    torch.manual_seed(0)
    module, hidden = kind(3, 4), 4
    info = read_views({f"rnn.{key}": value.shape for key, value in module.state_dict().items()})[f"rnn.{parameter}"]
    state = torch.rand(1, 1, hidden)
    inputs = (torch.rand(1, 1, 3), (state, state.clone()) if kind is torch.nn.LSTM else state)

    def compute(weight):
        values = {parameter: torch.from_numpy(np.ascontiguousarray(weight))}
        with torch.no_grad():
            return torch.func.functional_call(module, values, inputs)[0].numpy().reshape(-1)

    weight = module.state_dict()[parameter].numpy().copy() * 0.1
    for row in range(info.view.sizes(info.shape)[0]):
        assert np.flatnonzero(changed_outputs(weight, info.view, compute, row)).tolist() == [row % hidden]


def test_multihead_attention_rows_reach_their_channel():
    torch.manual_seed(0)
    module, width, heads = torch.nn.MultiheadAttention(8, 2, batch_first=True), 8, 2
    with torch.no_grad():
        module.out_proj.weight.copy_(torch.eye(width))
    shapes = {f"attn.{key}": value.shape for key, value in module.state_dict().items()}
    info = read_views(shapes)["attn.in_proj_weight"]
    x = torch.rand(1, 3, width)

    def compute(weight):
        with torch.no_grad():
            values = {"in_proj_weight": torch.from_numpy(np.ascontiguousarray(weight))}
            return torch.func.functional_call(module, values, (x, x, x))[0].numpy()

    weight = module.in_proj_weight.detach().numpy().copy()
    for row in range(3 * width):
        changed = set(np.argwhere(changed_outputs(weight, info.view, compute, row))[:, 2].tolist())
        head = range(row % width // (width // heads) * (width // heads), width)
        allowed = {row - 2 * width} if row >= 2 * width else set(head[: width // heads])
        assert changed <= allowed
        assert changed


GPT2 = {
    "h.0.attn.c_attn.weight": (8, 24),
    "h.0.attn.c_attn.bias": (24,),
    "h.0.attn.c_proj.weight": (8, 8),
    "h.0.attn.c_proj.bias": (8,),
    "h.0.mlp.c_fc.weight": (8, 32),
    "h.0.mlp.c_fc.bias": (32,),
    "h.0.mlp.c_proj.weight": (32, 8),
    "h.0.mlp.c_proj.bias": (8,),
}


@pytest.mark.parametrize("name", [name for name in GPT2 if name.endswith("weight")])
@pytest.mark.parametrize("prefix", ["", "transformer.", "model.transformer."])
def test_gpt2_layers_are_in_by_out(name, prefix):
    infos = read_views({prefix + key: shape for key, shape in GPT2.items()})
    rng = np.random.default_rng(0)
    x, weight = rng.random((2, GPT2[name][0])) + 0.5, rng.standard_normal(GPT2[name])
    check_rows(weight, infos[prefix + name], lambda w: x @ w + 1, (1,))


def test_the_same_names_as_linear_layers_stay_out_by_in():
    shapes = {name: shape[::-1] for name, shape in GPT2.items()}
    assert {info.view for info in read_views(shapes).values()} == {MatrixView((0,))}


@pytest.mark.parametrize(
    ("config", "axis", "noted"),
    [({}, 0, True), ({"model_type": "gpt2"}, 1, False), ({"model_type": "gpt_bigcode"}, 0, False)],
    ids=["nothing", "gpt2", "bigcode"],
)
def test_a_lone_square_weight_follows_the_architecture(config, axis, noted):
    info = view_of("h.0.attn.c_proj.weight", (8, 8), config, h__0__attn__c_proj__bias=(8,))
    assert info.view == MatrixView((axis,))
    assert (OVERRIDE in info.note) == noted


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        ("w", "b"),
        ("W", "b"),
        ("w1", "b1"),
        ("W_2", "b_2"),
        ("l.weights", "l.biases"),
        ("coefs_0", "intercepts_0"),
        ("fc_w", "fc_b"),
    ],
)
def test_hand_made_layers_are_told_by_their_bias(weight, bias):
    assert read_views({weight: (8, 24), bias: (24,)})[weight].view == MatrixView((1,))
    assert read_views({weight: (24, 8), bias: (24,)})[weight].view == MatrixView((0,))


UP, DOWN = "layers.0.mlp.experts.gate_up_proj", "layers.0.mlp.experts.down_proj"
HIDDEN, WIDTH = 6, 4
STACKS = {
    "out-in": ({UP: (3, 2 * WIDTH, HIDDEN), DOWN: (3, HIDDEN, WIDTH)}, "eoi,bi->beo"),
    "in-out": ({UP: (3, HIDDEN, 2 * WIDTH), DOWN: (3, WIDTH, HIDDEN)}, "eio,bi->beo"),
}
ROUTER = {"layers.0.mlp.gate.weight": (3, HIDDEN)}
SIZES = {"hidden_size": HIDDEN, "moe_intermediate_size": WIDTH}
BIASES = {f"{UP}_bias": (3, 2 * WIDTH), f"{DOWN}_bias": (3, HIDDEN)}


@pytest.mark.parametrize("order", STACKS)
@pytest.mark.parametrize(
    ("beside", "config"),
    [({}, {}), ({}, SIZES), ({}, {"text_config": SIZES}), (ROUTER, {}), (BIASES, {})],
    ids=["pair", "config", "text-config", "router", "bias"],
)
@pytest.mark.parametrize("name", [UP, DOWN])
def test_stacked_experts_in_both_orientations(order, beside, config, name):
    shapes, letters = STACKS[order]
    info = read_views({**shapes, **beside}, config)[name]
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(info.shape)
    x = rng.random((2, info.shape[letters.index("i")])) + 0.5
    check_rows(weight, info, lambda w: np.einsum(letters, w, x), (1, 2))
    assert not info.note


@pytest.mark.parametrize("evidence", ["config", "router", "bias"])
@pytest.mark.parametrize("order", STACKS)
def test_one_stack_alone_needs_no_partner(evidence, order):
    for name, shape in STACKS[order][0].items():
        beside = {"config": {}, "router": ROUTER, "bias": {f"{name}_bias": BIASES[f"{name}_bias"]}}[evidence]
        info = read_views({name: shape, **beside}, SIZES if evidence == "config" else {})[name]
        assert info.view == MatrixView((0, 1 if order == "out-in" else 2))


@pytest.mark.parametrize(
    ("model_type", "axis"),
    [
        ("llama4", 2),
        ("gpt_oss", 2),
        ("qwen3_vl_moe", 2),
        ("aria", 2),
        ("mixtral", 1),
        ("qwen3_moe", 1),
        ("deepseek_v3", 1),
    ],
)
def test_experts_of_equal_lengths_follow_the_architecture(model_type, axis):
    info = view_of(UP, (3, 8, 8), {"model_type": model_type})
    assert (info.view, info.note) == (MatrixView((0, axis)), "")


def test_experts_of_which_nothing_tells_say_what_was_taken():
    info = view_of("mlp.experts.gate_proj", (4, 64, 96))
    assert info.view == MatrixView((0, 1))
    assert "rows taken along (expert, first axis); override with --axis" in info.note


@pytest.mark.parametrize(
    "name",
    ["blk.0.ffn_gate_exps.weight", "mlp.switch_mlp.up_proj.weight", "mlp.experts.w13_weight", "mlp.experts.w2_weight"],
)
def test_names_that_only_one_orientation_has_need_no_note(name):
    info = view_of(name, (4, 64, 96))
    assert (info.view, info.note) == (MatrixView((0, 1)), "")


def test_fp8_experts_are_turned_as_the_model_says_and_other_packed_ones_are_kept():
    shape = (16, 5120, 16384)
    fp8 = read_views({UP: shape}, {"hidden_size": 5120}, stored="fp8 channel", view=MatrixView((0, 1)))[UP]
    packed = read_views({UP: shape}, {"hidden_size": 5120}, stored="gpt-oss mxfp4", view=MatrixView((0, 1)))[UP]
    assert (fp8.view, packed.view) == (MatrixView((0, 2)), MatrixView((0, 1)))
    blocks = read_views({"blk.0.ffn_up_exps.weight": (4, 64, 96)}, stored="gguf:q4_k")
    assert blocks["blk.0.ffn_up_exps.weight"].view == MatrixView((0, 1))


@pytest.mark.parametrize("beside", ["config", "router"])
def test_dbrx_w2_is_in_by_out_within_each_expert(beside):
    experts, width, hidden = 3, 4, 5
    stem = "transformer.blocks.0.ffn"
    shapes = {f"{stem}.experts.mlp.{word}": (experts * width, hidden) for word in ("w1", "v1", "w2")}
    if beside == "router":
        shapes[f"{stem}.router.layer.weight"] = (experts, hidden)
    config = {"ffn_config": {"moe_num_experts": experts}} if beside == "config" else {}
    infos = read_views(shapes, config)
    assert infos[f"{stem}.experts.mlp.w1"].view == MatrixView((0,))
    info, rng = infos[f"{stem}.experts.mlp.w2"], np.random.default_rng(0)
    x = rng.random((2, width)) + 0.5
    weight = rng.standard_normal(info.shape)
    check_rows(weight, info, lambda w: np.einsum("bf,efh->beh", x, w.reshape(experts, width, hidden)), (1, 2))


@pytest.mark.parametrize(
    ("name", "shape", "rows"),
    [
        ("conv1.weight", (64, 80, 3), (0,)),
        ("mixer.conv1d.weight", (64, 1, 4), (0,)),
        ("pos_conv_embed.conv.weight", (64, 4, 128), (0,)),
        ("layer.weight", (64, 48, 5), (0,)),
        ("layer.weight", (64, 48, 3, 3), (0,)),
        ("patch_embed.proj.weight", (64, 3, 2, 14, 14), (0,)),
        ("backbone.stem.patchify.weight", (64, 3, 64, 64), (0,)),
        ("stft.filters.weight", (514, 1, 512), (0,)),
        ("pos_embed", (1, 197, 64), (0, 1)),
        ("codebooks", (8, 128, 64), (0, 1)),
        ("kernel3", (3, 3, 16, 32), (3,)),
        ("e", (4, 64, 96), (0, 1)),
        ("experts.0.conv.weight", (64, 64, 5), (0,)),
    ],
)
def test_what_three_and_more_axes_are(name, shape, rows):
    assert view_of(name, shape).view == MatrixView(rows)


FLAX = {
    "dense": ("Dense_0/kernel", (5, 3), (3,), "bi,io->bo", (1,)),
    "dense without bias": ("Dense_0/kernel", (5, 3), None, "bi,io->bo", (1,)),
    "square": ("Dense_0/kernel", (3, 3), (3,), "bi,io->bo", (1,)),
    "query": ("attn/query/kernel", (6, 2, 3), (2, 3), "bi,ihd->bhd", (1, 2)),
    "query without bias": ("attn/query/kernel", (6, 2, 3), None, "bi,ihd->bhd", (1, 2)),
    "out": ("attn/out/kernel", (2, 3, 6), (6,), "bhd,hdo->bo", (1,)),
    "out without bias": ("attn/out/kernel", (2, 3, 6), None, "bhd,hdo->bo", (1,)),
    "gemma query": ("layer_0/attn/q_einsum/w", (2, 6, 3), None, "bi,hid->bhd", (1, 2)),
    "gemma key and value": ("layer_0/attn/kv_einsum/w", (2, 2, 6, 3), None, "bi,khid->bkhd", (1, 2, 3)),
    "gemma out": ("layer_0/attn/attn_vec_einsum/w", (2, 3, 6), None, "bhd,hdo->bo", (1,)),
    "convolution": ("Conv_0/kernel", (3, 3, 4, 6), (6,), "bkli,klio->bo", (1,)),
    "convolution of one axis": ("Conv_0/kernel", (3, 4, 6), None, "bki,kio->bo", (1,)),
    "depthwise": ("dw/depthwise_kernel", (3, 3, 4, 2), (8,), "bkli,klim->bim", (1, 2)),
    "depthwise of Keras 3": ("depthwise_conv/kernel", (3, 3, 4, 2), (8,), "bkli,klim->bim", (1, 2)),
    "transposed of Keras": ("up/kernel", (3, 3, 6, 4), (6,), "bkli,kloi->bo", (1,)),
    "recurrent": ("lstm/recurrent_kernel", (3, 12), None, "bi,io->bo", (1,)),
    "experts": ("experts/wi/kernel", (3, 6, 4), None, "bi,eio->beo", (1, 2)),
    "scanned without bias": ("layers/mlp/wi/kernel", (3, 6, 4), None, "bi,eio->beo", (1, 2)),
    "scanned query": ("decoder/layers/attn/query/kernel", (2, 6, 3, 4), None, "bi,eihd->behd", (1, 2, 3)),
    "scanned out": ("decoder/layers/attn/out/kernel", (2, 3, 4, 6), None, "bhd,ehdo->beo", (1, 2)),
    "scanned": ("layers/Dense_0/kernel", (3, 6, 4), (3, 4), "bi,eio->beo", (1, 2)),
}


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize("case", FLAX)
def test_kernels_of_jax_and_keras(case, separator):
    name, shape, bias, letters, axes = FLAX[case]
    name = name.replace("/", separator)
    shapes = {name: shape} | ({name.replace("kernel", "bias").replace("depthwise_bias", "bias"): bias} if bias else {})
    info, rng = read_views(shapes)[name], np.random.default_rng(0)
    operand, letters_of_weight = letters.split("->")[0].split(",")
    sizes = dict(zip(letters_of_weight, shape, strict=True))
    x = rng.random([sizes.get(letter, 2) for letter in operand]) + 0.5
    check_rows(rng.standard_normal(shape), info, lambda w: np.einsum(letters, x, w), axes)


@pytest.mark.parametrize(
    ("name", "shape", "bias", "rows"),
    [
        ("mlp/~/linear_0/w", (5, 3), None, (1,)),
        ("mlp/~/linear_0/w", (5, 3), (3,), (1,)),
        ("mlp/~/linear_0/w", (3, 5), (3,), (0,)),
        ("conv2_d/w", (3, 3, 4, 6), (6,), (3,)),
        ("model/h0/attn/c_attn/w", (1, 6, 18), (18,), (2,)),
        ("layers.0.w", (5, 3), None, (0,)),
    ],
)
def test_weights_between_slashes_are_in_by_out_unless_their_bias_speaks_against_it(name, shape, bias, rows):
    shapes = {name: shape} | ({f"{name[:-1]}b": bias} if bias else {})
    assert read_views(shapes)[name].view == MatrixView(rows)


@pytest.mark.parametrize(("name", "told"), [("W", True), ("layer.weight", False), ("conv_w", False)])
def test_three_axes_of_which_only_the_last_is_short_are_a_guess_unless_named_a_kernel(name, told):
    info = view_of(name, (2, 128, 16))
    assert info.view == MatrixView((0, 1) if told else (0,))
    assert (OVERRIDE in info.note) == told


@pytest.mark.parametrize("bias", [(4, 20), (4, 1, 20)], ids=["a vector each", "a row each"])
def test_biases_of_experts_tell_which_way_they_lie_and_are_no_weights(bias):
    found = read_views({"moe.experts.w1": (4, 48, 20), "moe.experts.b1": bias})
    assert (found["moe.experts.w1"].view, found["moe.experts.w1"].note) == (MatrixView((0, 2)), "")
    assert found["moe.experts.b1"].role == "bias"


def test_a_view_that_a_reader_gave_is_kept():
    info = read_views({"fc.weight": (8, 24), "fc.bias": (8,)}, view=MatrixView((1,)))["fc.weight"]
    assert info.view == MatrixView((1,))


def test_vectors_scales_and_states_of_optimizers_are_left_as_they_are():
    shapes = {"a.bias": (3,), "b.scales": (3, 64, 64), "optimizer.state.0.exp_avg": (3, 64, 64), "w": (4, 4)}
    assert {info.view for info in read_views(shapes).values()} == {MatrixView((0,))}
