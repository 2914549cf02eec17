"""The bench card of a layer: figures of its row, and C and P of its own weights."""

from __future__ import annotations

import re

import numpy as np
import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.converters.posterior import judge_posterior
from qanalysis.dashboard.layers.bench_card import list_bench
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep
from tests.dashboard.conftest import OpenPage


@pytest.fixture(scope="module")
def row() -> Row:
    rng = np.random.default_rng(1)
    return sweep({"w": rng.standard_normal((64, 64), dtype=np.float32)}, ["int8"]).rows[0]


def test_the_card_shows_the_row_and_the_posterior_check_of_the_layer_in_view(open_page: OpenPage) -> None:
    page = open_page(bench="true", bits="4", grouping="channel")
    with open_checkpoint("sample:digits-cnn") as source:
        info = next(info for info in source.tensors if info.name == page.selectbox(key="layer").value)
        values = source.read(info)
        measured = sweep(source, ["int4 channel"], include=f"^{re.escape(info.name)}$").rows[0]
    found = judge_posterior(values, Scheme.parse("int4 channel").fit(values, axis=info.view).round_trip(values))
    table = next(table.value for table in page.table if "Quantity" in table.value)
    shown = {
        name: re.sub(r"\\(.)", r"\1", text.replace("\u00a0", " ").split("**")[1])
        for name, text in table.itertuples(index=False)
    }
    assert shown["Posterior\\-error ratio C"] == f"{found.c_std:.6f}"
    assert shown["Small\\-error frequency P"] == f"{found.small_error_frequency:.6f}"
    assert shown["ENOB"] == f"{measured.enob:.2f} bit"
    assert shown["SQNR"] == f"{measured.sqnr_db:.2f} dB"


def test_a_finely_quantized_gaussian_meets_the_noise_model(row: Row) -> None:
    values = np.random.default_rng(1).standard_normal((64, 64), dtype=np.float32)
    facts = {
        name: value
        for name, value, _ in list_bench(
            row, judge_posterior(values, Scheme.parse("int8").fit(values).round_trip(values))
        )
    }
    assert float(facts["Error power over q²/12"]) == pytest.approx(
        1, abs=4 * np.sqrt(0.8 / 4096)
    )  # 4 sigma of 4096 squared uniform errors
    assert abs(float(facts["corr(e, x)"].replace("−", "-"))) < 4 / np.sqrt(4096)  # 4 sigma of no correlation
    assert facts["Grade"] == "1, good"


def test_a_constant_layer_has_no_posterior_check(row: Row) -> None:
    facts = {name: value for name, value, _ in list_bench(row, judge_posterior(np.ones(8), np.ones(8)))}
    assert [facts[name] for name in ("Loading", "Posterior-error ratio C", "Grade")] == ["n/a"] * 3
