"""Page Layers tells what a file is: packed values, roles, axes, tensors that are only recognised, sets that lack a part."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from streamlit.testing.v1 import AppTest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.quantizers.crossing import default_schemes
from qanalysis.reports.summary import headline, tell_source
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import sweep
from tests.dashboard.conftest import OpenPage, settle
from tests.dashboard.scenes import read_components, read_headline, read_layer, read_scene, read_table
from tests.reference_packed import pack_rows

Arrays = dict[str, NDArray[Any]]
SHAPE, GROUP = (64, 128), 64


def draw(*shape: int) -> NDArray[np.float32]:
    return (np.random.default_rng(2).standard_normal(shape) / 20).astype(np.float32)


def pack_gptq() -> Arrays:
    rng, (rows, columns) = np.random.default_rng(1), SHAPE
    groups = columns // GROUP
    return {
        "fc.qweight": pack_rows(rng.integers(0, 16, SHAPE), 4).T.copy(),
        "fc.qzeros": pack_rows(np.full((groups, rows), 7), 4),
        "fc.scales": np.full((groups, rows), 0.125, np.float16),
        "fc.g_idx": np.arange(columns, dtype=np.int32) // GROUP,
        "norm.weight": np.ones(columns, np.float32),
    }


def pack_exl2() -> Arrays:
    words = np.zeros((16, 128), np.int32)
    return {
        "fc.q_weight": words,
        "fc.q_scale": words[:2],
        "fc.q_scale_max": np.ones(2, np.float16),
        "fc.q_groups": np.zeros(4, np.int16),
        "fc.q_invperm": np.arange(128, dtype=np.int16),
        "embed_tokens.weight": draw(20, 32),
    }


def measure(path: Path, **options: Any) -> Rows:
    with open_checkpoint(path, partial=options.pop("partial", False)) as source:
        return sweep(source, default_schemes(), **options)


def read_captions(page: AppTest) -> str:
    return "\n".join(re.sub(r"\\(.)", r"\1", caption.value) for caption in page.caption)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Arrays], Path]:
    def write(tensors: Arrays) -> Path:
        save_file(tensors, tmp_path / "own.safetensors")
        return tmp_path / "own.safetensors"

    return write


def test_a_packed_file_is_measured_by_its_decoded_values(open_page: OpenPage, save: Callable[[Arrays], Path]) -> None:
    rows = measure(save(pack_gptq()))
    page = open_page(source="own.safetensors", limits="true")
    assert read_headline(page) == headline(rows, "int4 group=128")
    told = read_headline(page)
    assert "already quantized (gptq int4 group=64, " in told
    assert told.endswith(" bits per weight); figures are relative to its decoded values")
    # 4 of a code, 16 + 4 a group of scale and zero point, 32 a column of group index.
    assert "fc.weight: stored as gptq int4 group=64, 4.812 bits per weight; zero points" in read_captions(page)


def test_below_the_headline_stands_what_was_measured(open_page: OpenPage, save: Callable[[Arrays], Path]) -> None:
    rows = measure(save(pack_gptq()))
    under = read_scene(open_page(source="own.safetensors"), "charts")["under"]
    assert under == " · ".join(tell_source(rows))
    assert under.startswith("1 of 2 tensors, 8,192 of 8,320 values; left out: 1 norm · stored as gptq int4 group=64, ")


def test_every_tensor_has_more_rows(open_page: OpenPage, save: Callable[[Arrays], Path]) -> None:
    path = save(pack_gptq())
    page = open_page(source="own.safetensors")
    assert read_table(page, "layers")["row"] == ["fc.weight"]
    page = settle(page.selectbox(key="roles").set_value("all").run())
    layers = read_table(page, "layers")
    expected = [row for row in measure(path, roles="all") if row.scheme == "int4 group=128"]
    assert (layers["row"], layers["sqnr_db"]) == (
        [row.tensor for row in expected],
        [row.sqnr_db if np.isfinite(row.sqnr_db or 0) else "Infinity" for row in expected],
    )


def test_output_axes_change_the_figures_to_the_engine_s(open_page: OpenPage, save: Callable[[Arrays], Path]) -> None:
    path = save({"blocks.0.proj.weight": draw(48, 96) * np.exp(2 * draw(48, 1))})
    plain, turned = measure(path), measure(path, axis={"proj": 1})
    page = open_page(source="own.safetensors", grouping="channel")
    assert read_table(page, "layers")["sqnr_db"] == [row.sqnr_db for row in plain if row.scheme == "int4 channel"]
    page = settle(page.text_input(key="axes").set_value("proj=1").run())
    figures = [row.sqnr_db for row in turned if row.scheme == "int4 channel"]
    assert read_table(page, "layers")["sqnr_db"] == figures
    assert figures != [row.sqnr_db for row in plain if row.scheme == "int4 channel"]


@pytest.mark.parametrize(
    ("axes", "rule"),
    [
        ("proj", "write REGEX=AXIS"),
        ("nothing=1", "matches none of the 1 tensors that are measured; their names begin with 'blocks.0.proj.weight'"),
        ("proj=7", "'blocks.0.proj.weight' with shape 48x96"),
        ("proj=two", "two"),
    ],
)
def test_axes_that_can_not_be_are_told_with_the_way_back(
    open_page: OpenPage, save: Callable[[Arrays], Path], axes: str, rule: str
) -> None:
    save({"blocks.0.proj.weight": draw(48, 96)})
    (fault,) = open_page(source="own.safetensors", axes=axes).error
    told = re.sub(r"\\(.)", r"\1", fault.value)
    assert rule in told
    assert "**Output axes**" in told


def test_a_layer_that_is_only_recognised_says_why(open_page: OpenPage, save: Callable[[Arrays], Path]) -> None:
    save(pack_exl2())
    page = open_page(source="own.safetensors", layer="fc.weight")
    assert "already quantized (EXL2: mixed 2 to 8 bit codes); recognised, not decoded" in read_layer(page)["note"]
    assert read_components(page)["charts"]["at"]["layer"] == "fc.weight"
    under = read_scene(page, "charts")["under"]
    assert under.startswith("1 of 2 tensors, 640 of ")
    assert "without figures: 1 weight (already quantized (EXL2" in under


def test_a_set_that_lacks_a_part_is_opened_when_asked(open_page: OpenPage, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for number in (1, 3):
        save_file({f"fc{number}.weight": draw(16, 64)}, folder / f"model-0000{number}-of-00003.safetensors")
    page = open_page(source="model")
    (fault,) = page.error
    assert "model-00002-of-00003" in fault.value.replace("\\", "")
    assert "with the button below" in fault.value.replace("\\", "")
    page.selectbox(key="source").options.append("model")  # a typed text is no option to AppTest
    page = settle(page.button(key="partial").click().run())
    assert not page.error
    assert read_headline(page) == headline(measure(folder, partial=True), "int4 group=128")
    assert "model-00002-of-00003.safetensors is missing" in read_scene(page, "charts")["under"]
    assert page.selectbox(key="source").value == "partial:model"


def test_an_option_of_older_links_is_named(open_page: OpenPage) -> None:
    page = open_page(weights_only="true")
    assert "weights_only=true" in page.warning[0].value.replace("\\", "")
