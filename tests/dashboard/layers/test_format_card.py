"""The card of the format in view: facts for every format, and the section that shows them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from qanalysis.charts.format_levels import MOST_DRAWN, find_levels, format_levels
from qanalysis.dashboard.layers.format_card import list_facts
from qanalysis.diagnosis.profile import profile_layer
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep
from tests.dashboard.conftest import OpenPage
from tests.dashboard.scenes import read_charts

EVERY_FORMAT = pytest.mark.parametrize("name", FORMATS)


@EVERY_FORMAT
def test_every_format_has_a_card(name: str) -> None:
    weights = np.random.default_rng(1).normal(size=(4, 512)).astype(np.float32)
    scheme, row = Scheme.parse(name), sweep({"w": weights}, [name])[0]
    facts = dict(list_facts(scheme, row, profile_layer(weights, scheme)))
    assert all(facts.values())
    assert facts["Storage"].endswith(f": {row.bits_per_weight:.4g} bits per weight on this layer")
    peer = "torch fake_quantize, torchao" if int(scheme.format.bits) <= 8 else "no tool checked, with these words"
    assert facts["Equal bit for bit"] == (peer if scheme.format.is_integer else FORMATS[name].peer)
    assert facts["Levels"].startswith(f"{find_levels(scheme).size:,} from ")


@EVERY_FORMAT
def test_lines_stand_at_the_levels(name: str) -> None:
    levels = find_levels(Scheme.parse(name))
    figure = format_levels(Scheme.parse(name))
    places = figure.data[0].x[::3]
    assert places.size <= MOST_DRAWN
    assert set(places) <= set(levels)
    assert f"{levels.size:,} levels" in figure.layout.meta["alt"]
    if figure.layout.xaxis.type == "log":
        assert places[0] == levels[levels > 0][0]
        low, high = (10**end for end in figure.layout.xaxis.range)
    else:
        assert places[0] == levels[0]
        low, high = figure.layout.xaxis.range
    assert low < places[0] < places[-1] <= levels[-1] < high


def test_narrow_formats_show_each_level_and_wide_floats_their_octaves() -> None:
    assert format_levels(Scheme.parse("mxfp4")).data[0].x[::3].tolist() == [
        -6,
        -4,
        -3,
        -2,
        -1.5,
        -1,
        -0.5,
        0,
        0.5,
        1,
        1.5,
        2,
        3,
        4,
        6,
    ]
    assert format_levels(Scheme.parse("int4 asym")).data[0].x[::3].tolist() == list(range(16))
    figure = format_levels(Scheme.parse("fp8_e4m3"), theme="dark")
    assert figure.data[0].x[::3].size == 126  # 7 subnormal and 15 x 8 - 1 normal ones: the last pattern is NaN
    assert figure.layout.xaxis.type == "log"
    assert format_levels(Scheme.parse("int10")).layout.xaxis.title.text == "Level at scale 1, one of each 2 shown"


def test_the_card_of_a_coded_format_counts_what_a_tensor_stores() -> None:
    weights = np.random.default_rng(1).normal(size=(4, 512)).astype(np.float32)
    facts = dict(list_facts(Scheme.parse("nvfp4"), profile=profile_layer(weights, Scheme.parse("nvfp4"))))
    assert facts["Storage"] == "4 bit a value + 8 bit a group=16 + 32 bit once"
    assert facts["Scales"] == "fp8_e4m3, 128 on this layer"
    assert dict(list_facts(Scheme.parse("float16")))["Scales"] == "none"


@pytest.mark.parametrize(
    ("text", "label", "value"),
    [
        ("int4 sym-full", "Equal bit for bit", "torchao SYMMETRIC, compressed-tensors"),
        ("int4 sym-clip", "Equal bit for bit", "no tool checked"),
        ("nf4 group=64 range=mse", "Equal bit for bit", "no tool checked, with these words"),
        ("nf4 group=64 scale=double", "Equal bit for bit", FORMATS["nf4"].peer),
        ("fp8_e4m3 round=floor", "Equal bit for bit", "no tool checked, with these words"),
        ("gguf:q4_1", "Rounding", "floor(x + 0.5), the sum in float32: halves go up"),
        ("gguf:mxfp4", "Rounding", "to the nearest level; a value midway goes toward zero"),
        ("nf4", "Rounding", "to the nearest level; a value midway goes down"),
        ("ternary", "Rounding", "by the sign, and by the threshold where 0 is a level"),
        ("gguf:q8_0", "Rounding", "nearest-away"),
        ("nf4 tensor scale=double", "Storage", "4 bit a value + 8 bit a tensor + 64 bit once"),
    ],
)
def test_facts_hold_for_the_whole_scheme(text: str, label: str, value: str) -> None:
    assert dict(list_facts(Scheme.parse(text)))[label] == value


def test_the_section_is_drawn_when_it_is_open(open_page: OpenPage) -> None:
    closed = open_page(scheme="gguf:q4_0", include="conv3")
    page = open_page(scheme="gguf:q4_0", card="true", include="conv3")
    assert set(read_charts(page)) - set(read_charts(closed)) == {"levels"}
    shown = {
        re.sub(r"\\(.)", r"\1", text)
        for table in page.table
        for text in table.value.to_numpy().ravel()
        if isinstance(text, str)
    }
    assert {
        "**Equal bit for bit**",
        FORMATS["gguf:q4_0"].peer,
        "4 bit a value + 16 bit a group=32: 4.5 bits per weight on this layer",
    } <= shown


def test_the_card_stands_for_a_layer_that_the_format_can_not_take(open_page: OpenPage) -> None:
    page = open_page(scheme="gguf:tq1_0", card="true", include="conv3")
    shown = {
        re.sub(r"\\(.)", r"\1", text)
        for table in page.table
        for text in table.value.to_numpy().ravel()
        if isinstance(text, str)
    }
    assert "432 bit a group=256" in shown
    assert "**Range here**" not in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("int4 group=64", "refused by compressed-tensors and torchao"),
        ("int4 channel", "there are none"),
        ("bfloat16", "there are no groups"),
        ("mxfp4", "refused by torchao"),
        ("nvfp4", "refused by torchao"),
        ("nf4 group=64", "bitsandbytes takes them"),
        ("gguf:q4_0", "refused by gguf"),
        ("ternary group=64", "no tool checked"),
    ],
)
def test_the_card_says_who_refuses_ragged_rows(text: str, told: str) -> None:
    assert dict(list_facts(Scheme.parse(text)))["Ragged rows"].startswith(told)


def test_tools_refuse_ragged_rows_as_the_card_says() -> None:
    torch = pytest.importorskip("torch")
    mx = pytest.importorskip("torchao.prototype.mx_formats.mx_tensor").MXTensor
    quantization = pytest.importorskip("compressed_tensors.quantization")
    quantize = pytest.importorskip("compressed_tensors.quantization.lifecycle.forward").fake_quantize
    x = torch.ones(8, 100)
    with pytest.raises(AssertionError, match="divisible"):
        mx.to_mx(x, torch.float8_e4m3fn, 32)
    arguments = quantization.QuantizationArgs(num_bits=4, group_size=64, strategy="group", symmetric=True)
    with pytest.raises(ValueError, match="group_size 64 but got 100"):
        quantize(x, torch.ones(8, 2), torch.zeros(8, 2), arguments)
    functional = pytest.importorskip("bitsandbytes.functional")
    assert functional.quantize_4bit(x, blocksize=64, quant_type="nf4")[1].absmax.numel() == -(-800 // 64)
