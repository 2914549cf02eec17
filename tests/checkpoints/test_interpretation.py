"""Whatever names and shapes a file has, it is read in its order, and every view fits its tensor."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.natures import name_nature
from qanalysis.checkpoints.roles import assign_roles
from qanalysis.checkpoints.source import ROLES, TensorInfo
from qanalysis.checkpoints.views import assign_views

WORDS = st.sampled_from(
    [
        "model",
        "ema",
        "optimizer",
        "state",
        "0",
        "7",
        "experts",
        "gate_up_proj",
        "down_proj",
        "gate_proj",
        "weight",
        "bias",
        "kernel",
        "w",
        "b",
        "w2",
        "scale",
        "scales",
        "biases",
        "teacher",
        "student",
        "mu",
        "nu",
        "m",
        "v",
        "conv",
        "convtr",
        "ups",
        "attn",
        "c_attn",
        "c_proj",
        "norm",
        "embed",
        "shared",
        "router",
        "kernel:0",
        "depthwise_kernel",
        "parametrizations",
        "original1",
        "weight_v",
        "lora_A",
        "lora_B",
        "rel_attn",
        "q",
        "o",
        "rotary_emb",
        "w_ema",
        "_orig_mod",
    ]
)
NAMES = st.builds(
    lambda parts, separator, end: separator.join(parts) + end,
    st.lists(WORDS | st.text(max_size=4), min_size=1, max_size=5),
    st.sampled_from("./"),
    st.sampled_from(["", "", ":0", " (2)"]),
)
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 6, 40, 80]), max_size=5).map(tuple)
STORED = st.sampled_from(["", "", "", "fp8 channel", "weight norm", "gguf:q4_k", "gptq int4 group=128"])
DTYPES = st.sampled_from(["float32", "int8", "uint8", "bool", "float8_e4m3fn", "q4_k", "complex64"])
NUMBERS = st.sampled_from([0, 2, 40, 80, -1, True, "80", None])
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "hidden_size": NUMBERS,
        "vocab_size": NUMBERS,
        "moe_intermediate_size": NUMBERS,
        "model_type": st.sampled_from(["gpt2", "llama4", "mixtral", 3, None]),
        "text_config": st.sampled_from([None, 3, {"hidden_size": 40}, {"model_type": []}]),
        "ffn_config": st.sampled_from([None, {"moe_num_experts": 2}, {"moe_num_experts": "2"}]),
        "tie_word_embeddings": st.booleans() | st.none(),
    },
)


@st.composite
def files(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=12, unique=True))
    return [
        TensorInfo(
            name, draw(SHAPES), draw(DTYPES), 4, stored=draw(STORED), reason=draw(st.sampled_from(["", "", "sparse"]))
        )
        for name in names
    ]


@given(files(), CONFIGS)
@settings(max_examples=300, deadline=None)
def test_any_file_is_read_in_its_order_and_every_view_fits(infos, config):
    evidence = Evidence(config=config)
    found = assign_views(assign_roles(infos, evidence), evidence)
    assert [(info.name, info.shape, info.dtype, info.stored) for info in found] == [
        (info.name, info.shape, info.dtype, info.stored) for info in infos
    ]
    for info in found:
        assert info.role in ROLES
        rows, columns = info.view.sizes(info.shape)
        assert rows * columns == info.numel
    assert all(len(sentence) < 200 for sentence in name_nature(found, evidence))


def test_many_and_hostile_names_take_time_in_proportion():
    """Some 15 µs a tensor alone on one core; twenty times that is a search that runs over other tensors or whole names."""
    layers = [TensorInfo(f"l.{number}.mlp.experts.down_proj", (8, 64, 64), "float32", 4) for number in range(5000)]
    hostile = [TensorInfo(f"{'teacher.ema_' * 2000}{number}", (64, 64, 64), "float32", 4) for number in range(200)]
    start = time.process_time()
    for infos in (layers, hostile):
        name_nature(assign_views(assign_roles(infos, Evidence()), Evidence()), Evidence())
    assert time.process_time() - start < 0.3e-3 * len(layers + hostile)
