"""Packed and graph models on page Layers as a person opens them, and links that would keep a server busy for ever."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.reference_packed import pack_rows

from .conftest import OpenVisit, Server
from .layers_page import ROOT, choose_source, wait_for_charts, wait_for_headline, wait_for_query

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector
UNDER = f"{ROOT} .ql-headline + .ql-remark"
ENDLESS = "(?:(x)|(.)|(..)|(...))*[!?]"


def save_packed(path: Path) -> None:
    rng = np.random.default_rng(1)
    codes = pack_rows(rng.integers(0, 16, (64, 128)), 4).T.copy()
    zeros, scales = pack_rows(np.full((2, 64), 7), 4), np.full((2, 64), 0.125, np.float16)
    order = np.arange(128, dtype=np.int32) // 64
    norm = np.linspace(0.5, 1.5, 128, dtype=np.float32)
    parts = {"fc.qweight": codes, "fc.qzeros": zeros, "fc.scales": scales, "fc.g_idx": order}
    save_file({**parts, "layers.with.a.long.name.that.repeats.norm.weight": norm}, path)


def save_graph(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, arrays = onnx.helper, onnx.numpy_helper
    rng = np.random.default_rng(2)
    tensors = {
        "onnx::MatMul_7": rng.standard_normal((32, 64)).astype(np.float16),
        "fc.bias": rng.standard_normal(64).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["onnx::MatMul_7"], ["wide"], to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "wide"], ["product"]),
        helper.make_node("Add", ["product", "fc.bias"], ["y"]),
    ]
    ends = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy")
    graph = helper.make_graph(
        nodes, "g", *([end] for end in ends), [arrays.from_array(value, name) for name, value in tensors.items()]
    )
    onnx.save(helper.make_model(graph), path)


def test_a_packed_and_a_graph_model(server: Server, open_visit: OpenVisit) -> None:
    from playwright.sync_api import expect

    save_packed(server.root / "packed.safetensors")
    save_graph(server.root / "graph.onnx")
    visit = open_visit(server.url)
    page = visit.page
    wait_for_headline(page, "digits-cnn at int4 group=128")
    choose_source(page, "packed.safetensors")
    wait_for_headline(page, r"packed.safetensors at .*already quantized \(gptq int4 group=64")
    wait_for_charts(page, layer="fc.weight")
    expect(page.locator(UNDER)).to_contain_text("left out: 1 norm · stored as gptq int4 group=64")

    roles = page.locator(".st-key-roles input")
    roles.click()
    roles.fill("Every tensor")
    page.keyboard.press("Enter")
    wait_for_query(page, roles="all")
    expect(page.locator(UNDER)).to_contain_text("2 of 2 tensors", timeout=60_000)
    expect(page.locator(".st-key-layers tr.ql-table-row")).to_have_count(2, timeout=60_000)

    choose_source(page, "graph.onnx")
    wait_for_headline(page, "graph.onnx at int4 group=128")
    expect(page.locator(UNDER)).to_contain_text("2 of 2 tensors", timeout=60_000)
    expect(page.locator(".st-key-layers tr.ql-table-row")).to_have_count(2, timeout=60_000)
    assert not visit.complaints
    assert not server.read_trouble()


@pytest.mark.parametrize("box", ["include", "find"])
def test_an_endless_expression_in_a_link_stops_nobody(server: Server, open_visit: OpenVisit, box: str) -> None:
    from playwright.sync_api import expect

    save_packed(server.root / "packed.safetensors")
    hostile = open_visit(f"{server.url}/?{urlencode({'source': 'packed.safetensors', 'roles': 'all', box: ENDLESS})}")
    with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=5) as reply:
        assert reply.status == 200
    other = open_visit(server.url)
    wait_for_headline(other.page, "digits-cnn at int4 group=128")
    alert = hostile.page.get_by_test_id("stAlert").filter(has_text="takes too long")
    expect(alert).to_be_visible(timeout=30_000)
