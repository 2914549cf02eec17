"""Noise floors, layers together, and what the document keeps: small models whose answers are known by hand."""

from __future__ import annotations

import json
import math
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.calibration.samples import Batch, Calibration, number_blocks
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.models.sensitivity import beside, damages
from qanalysis.models.sensitivity.floors import Effort, run_reordered, thin
from qanalysis.models.sensitivity.gathering import SensitivityProgress
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.schemas import list_schemas
from qanalysis.results.document import parse_document, to_json
from qanalysis.results.table import Table

_SCHEMES = ("int4 channel", "int3 channel")


class Beside(nn.Module):
    """Layers side by side: each has outputs of its own, so that their error energies add."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.parts = nn.ModuleList(nn.Linear(6, 4, bias=False) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], -1)


class Added(Beside):
    """The same layer several times, added: errors add as amplitudes, energies as their square."""

    def __init__(self, layers: int) -> None:
        super().__init__(layers)
        for part in self.parts:
            part.load_state_dict(self.parts[0].state_dict())

    def forward(self, x: Tensor) -> Tensor:
        return sum((part(x) for part in self.parts), torch.zeros(()))


def _make_data(samples: int, *, labels: bool = False, width: int = 6) -> Calibration:
    inputs = torch.randn(samples, width, generator=torch.Generator().manual_seed(2))
    targets = torch.arange(samples) % 4 if labels else None
    loss = "cross-entropy" if labels else None
    return Calibration(number_blocks([Batch({"x": inputs}, targets)]), "made", loss, is_logits=labels)


def _measure(module: nn.Module, data: Calibration, *schemes: str, **options: Any) -> Table[SensitivityRow]:
    return measure_sensitivity(TorchModel(module.eval(), "made"), data, schemes or _SCHEMES, measures=(), **options)


def test_damages_of_layers_with_outputs_of_their_own_add_up() -> None:
    table = _measure(Beside(6), _make_data(40))
    part = table.more["additivity"]
    assert part["warning"] == ""
    choices = {point["choice"] for point in part["points"]}
    assert choices == {"all", "least-sensitive", "mixed", "random"}
    by_row = {(row.tensor, row.scheme): row.output_nsr for row in table}
    for point in part["points"]:
        listed = part["sets"][point["set"]]
        schemes = listed["schemes"] * len(listed["tensors"]) if len(listed["schemes"]) == 1 else listed["schemes"]
        alone = math.fsum(by_row[key] for key in zip(listed["tensors"], schemes, strict=True))
        # Nine digits are kept: half a unit of the last.
        assert point["sum"] == pytest.approx(alone, rel=5e-9)
        # float32 outputs: errors of some 1e-2 are known to 1e-5 of themselves.
        assert point["ratio"] == pytest.approx(1, abs=1e-4)
        assert point["interaction_share"] == pytest.approx(0, abs=1e-4)
        assert point["layers"] == len(listed["tensors"])
    assert part["interaction_share"] == pytest.approx(0, abs=1e-4)


def test_one_layer_several_times_hurts_as_the_square_and_is_warned_of() -> None:
    table = _measure(Added(4), _make_data(40), "int4 channel")
    part = table.more["additivity"]
    for point in part["points"]:
        # k errors e at once have the energy k^2 e^2, alone k e^2.
        assert point["ratio"] == pytest.approx(point["layers"], rel=1e-4)
        assert point["interaction_share"] == pytest.approx(1 - 1 / point["layers"], rel=1e-4)
    worst = part["points"][part["worst"]]
    assert worst["layers"] == 4
    assert "output_nsr does not add up" in part["warning"]
    assert "at worst 4 times" in part["warning"]


def test_the_same_layer_several_times_is_one_tie_group() -> None:
    table = _measure(Added(3), _make_data(30), "int4 channel")
    assert [(row.rank, row.tie_group) for row in table] == [(1, 1)] * 3


def test_ranks_go_by_the_metric_that_is_asked_for() -> None:
    module = Beside(3)
    with torch.no_grad():
        module.parts[1].weight *= 10
        module.parts[2].weight *= 100
    for metric in ("output_sqnr_db", "output_relative_l2", "output_nsr", "output_cosine"):
        table = _measure(module, _make_data(60), "int4 channel", metric=metric)
        assert [row.rank for row in table] == [3, 2, 1], metric
    with pytest.raises(ValueError, match="metric 'scheme': layers are ranked by one of output_sqnr_db"):
        _measure(module, _make_data(4), metric="scheme")


def test_the_floor_is_that_of_each_layer_rounded_alone() -> None:
    module, data = Beside(2), _make_data(160)
    table = _measure(module, data, "int4 channel")
    assert table.more["floor"]["samples"] == 160
    x = data.blocks[0].inputs["x"]
    with torch.no_grad():
        y = module(x)
        for row, part in zip(table, module.parts, strict=True):
            kept = part.weight.clone()
            part.weight.copy_(kept.bfloat16().float())
            nsr = float((module(x) - y).double().square().sum() / y.double().square().sum())
            part.weight.copy_(kept)
            # Nothing else is louder: another order changes at most the last bits of float32.
            assert row.noise_floor_sqnr_db == pytest.approx(-10 * math.log10(nsr), abs=1e-6)


def test_much_work_is_spared_by_fewer_samples_and_by_layers_together() -> None:
    assert Effort.choose(100, 60, 120, is_little=True) == Effort(100, 1)
    # 0.03 of 120 cells on 100 samples pays for 360 runs of a sample, six for each of 60 layers.
    assert Effort.choose(100, 60, 120, is_little=False) == Effort(6, 1)
    # On 4 samples for 14.4 such runs: one sample, and 4.2 layers at once, rounded up.
    assert Effort.choose(4, 60, 120, is_little=False) == Effort(1, 5)


def test_layers_that_are_rounded_together_share_the_floor_of_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = _measure(Beside(4), _make_data(4), "int4 channel").more["floor"]
    monkeypatch.setattr(beside, "LITTLE_WORK", 0)
    table = _measure(Beside(4), _make_data(4), "int4 channel")
    found = table.more["floor"]
    # 0.03 of 4 cells on 4 samples pays for 0.12 samples of each layer: 8.3 layers at once, rounded up.
    assert (found["samples"], found["layers_together"]) == (1, 9)
    assert len({part["output_sqnr_db"] for part in found["layers"]}) == 1
    assert found["output_sqnr_db"] == found["layers"][0]["output_sqnr_db"]
    assert len({part["output_sqnr_db"] for part in alone["layers"]}) == 4
    assert len(table.more["additivity"]["points"]) <= 5


def test_rows_that_are_not_above_the_floor_say_so_and_are_one_group_at_the_end() -> None:
    table = _measure(Beside(3), _make_data(40), "bfloat16", "int4 channel")
    noisy = [row for row in table if row.scheme == "bfloat16"]
    assert {(row.rank, row.tie_group) for row in noisy} == {(1, 1)}
    assert all(row.reason.startswith("not above the noise floor") for row in noisy)
    assert not any(row.reason for row in table if row.scheme != "bfloat16")


def test_a_batch_in_another_order_returns_its_outputs_in_place() -> None:
    model, batch = TorchModel(Beside(2).eval(), "made"), _make_data(11).blocks[0]
    # The same sums of six products in another order: some units in the last place.
    torch.testing.assert_close(run_reordered(model, batch), model.record(batch).outputs, rtol=1e-5, atol=1e-6)


def test_samples_are_thinned_evenly_over_blocks() -> None:
    blocks = number_blocks([Batch({"x": torch.arange(30.0)[:, None]}), Batch({"x": torch.arange(30.0, 40)[:, None]})])
    thinned, places = thin(Calibration(blocks, "made"), 4)
    assert places.tolist() == [0, 13, 26, 39]
    assert [value for block in thinned.blocks for value in block.inputs["x"].flatten().tolist()] == [0, 13, 26, 39]
    assert len(thin(Calibration(blocks, "made"), 99)[0]) == 40


def test_figures_of_the_kept_damages_are_those_of_the_rows() -> None:
    table = _measure(Beside(1), _make_data(50, labels=True))
    kept = table.more["damages"]
    assert kept["samples"] == kept["measured"] == 50
    for row, cell in zip(table, kept["cells"], strict=True):
        assert (row.tensor, row.scheme, row.target, row.mode) == tuple(
            cell[name] for name in ("tensor", "scheme", "target", "mode")
        )
        # Sums of fifty numbers of nine digits.
        assert math.fsum(cell["error_energy"]) / math.fsum(kept["float_energy"]) == pytest.approx(
            row.output_nsr, rel=1e-8
        )
        assert math.fsum(cell["kl"]) / math.fsum(kept["tokens"]) == pytest.approx(row.output_kl, rel=1e-8)
        told = math.fsum(cell["loss_delta"]) / math.fsum(kept["targets"])
        assert told == pytest.approx(row.loss_delta, rel=1e-7, abs=1e-10)
    assert table.more["float"]["loss"] == pytest.approx(table[0].loss - table[0].loss_delta, rel=1e-12)


def test_of_many_damages_a_seeded_subset_of_the_samples_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damages, "MOST_NUMBERS", 360)
    table = _measure(Beside(2), _make_data(100))
    kept = table.more["damages"]
    # Four cells and what is common to them, three lists each: 24 samples, and no fewer than 32.
    assert (kept["samples"], kept["measured"]) == (32, 100)
    assert kept["places"] == damages.choose_places(100, 4, seed=0).tolist()
    assert len(kept["cells"][0]["error_energy"]) == 32
    assert kept["places"] != damages.choose_places(100, 4, seed=1).tolist()


def test_all_layers_at_once_are_a_row_of_the_totals() -> None:
    module, data = Beside(3), _make_data(30, width=6)
    table = _measure(module, data)
    x = data.blocks[0].inputs["x"]
    with torch.no_grad():
        y = module(x)
        for row in table.totals:
            copied = Beside(3)
            for part, own in zip(copied.parts, module.parts, strict=True):
                values = own.weight.numpy()
                part.weight.copy_(torch.from_numpy(Scheme.parse(row.scheme).fit(values, axis=0).round_trip(values)))
            nsr = float((copied(x) - y).double().square().sum() / y.double().square().sum())
            # float32 outputs, whose errors are about a tenth of them: 1e-7 of each, over some hundreds.
            assert row.output_nsr == pytest.approx(nsr, rel=1e-6)
            assert (row.tensor, row.mode) == ("(all)", "cumulative")
            assert row.size_bytes == sum(one.size_bytes for one in table if one.scheme == row.scheme)
    assert [row.scheme for row in table.totals] == list(_SCHEMES)


def test_intervals_and_ranks_do_not_depend_on_the_size_of_batches() -> None:
    table, again = (_measure(Beside(4), _make_data(50, labels=False), batch=batch) for batch in (None, 7))
    for row, other in zip(table, again, strict=True):
        assert (row.rank, row.tie_group) == (other.rank, other.tie_group)
        # Rounding of float32 outputs, whose errors are about 1e-2 of them.
        assert other.output_sqnr_db_low == pytest.approx(row.output_sqnr_db_low, abs=1e-3)
        assert other.output_cosine_high == pytest.approx(row.output_cosine_high, abs=1e-6)


def test_the_document_comes_back_and_fits_its_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    table = _measure(Beside(1), _make_data(24, labels=True))
    text = to_json(table)
    jsonschema.validate(json.loads(text), json.loads(list_schemas()["sensitivity.schema.json"]))
    again = parse_document(text, {SensitivityRow: Table}, place="rows.json")
    assert again.more == json.loads(json.dumps(table.more))
    assert set(again.more) == {"measures", "float", "floor", "damages", "tensors"}
    assert again == table


def test_a_layer_without_any_error_has_no_ends_and_hurts_least() -> None:
    module = Beside(2)
    with torch.no_grad():
        module.parts[0].weight.zero_()
    table = _measure(module, _make_data(20), "int4 channel")
    assert (table[0].output_sqnr_db, table[0].output_relative_l2, table[0].rank) == (math.inf, 0, 2)
    assert table[0].output_sqnr_db_low is None
    again = parse_document(to_json(table), {SensitivityRow: Table}, place="rows.json")
    assert again[0] == table[0]


def test_a_single_sample_has_no_intervals_and_says_so() -> None:
    table = _measure(Beside(3), _make_data(1, labels=False))
    assert table[0].output_sqnr_db is not None
    assert table[0].output_sqnr_db_low is None
    assert table[0].rank is not None
    assert any("a single sample" in note["reason"] for note in table.coverage)
    point = table.more["additivity"]["points"][0]
    assert point["ratio"] == pytest.approx(1, abs=1e-4)
    assert point["ratio_low"] is None


def test_a_metric_that_is_not_known_leaves_rows_without_ranks_and_says_so() -> None:
    table = _measure(Beside(2), _make_data(20), metric="accuracy")
    assert {row.rank for row in table} == {None}
    assert any(note["reason"].startswith("no layer has a rank: accuracy is not known") for note in table.coverage)


def test_few_samples_are_told() -> None:
    table = _measure(Beside(2), _make_data(12))
    assert any(note["reason"].startswith("12 samples: intervals are rough") for note in table.coverage)


def test_progress_reaches_its_end_with_all_runs() -> None:
    seen: list[SensitivityProgress] = []
    _measure(Beside(4), _make_data(30), batch=8, on_progress=seen.append)
    assert seen[-1].done == seen[-1].total
    assert [one.done for one in seen] == list(range(1, len(seen) + 1))


@pytest.mark.parametrize("runs", [3, 9, 12, 15, 18], ids=["cells", "floors", "totals", "sets", "late-sets"])
def test_whatever_is_cancelled_the_rows_stay_and_nothing_half_is_told(runs: int) -> None:
    cancel = threading.Event()

    def stop(progress: SensitivityProgress) -> None:
        if progress.done >= runs:
            cancel.set()

    table = _measure(Beside(4), _make_data(30), on_progress=stop, cancel=cancel)
    assert not table.complete
    assert len(table) == min(runs, 8)
    assert json.loads(to_json(table))["settings"]["complete"] is False


def test_without_floors_and_sets_only_the_totals_are_measured_beside() -> None:
    table = _measure(Beside(3), _make_data(30), floor=False, additivity=False)
    assert {"floor", "additivity"}.isdisjoint(table.more)
    assert len(table.totals) == 2
    assert table[0].noise_floor_sqnr_db is None


def test_numbers_as_targets_have_no_accuracy() -> None:
    inputs = torch.randn(20, 6, generator=torch.Generator().manual_seed(3))
    data = Calibration(number_blocks([Batch({"x": inputs}, torch.zeros(20, 4))]), "made", "mse")
    table = _measure(Beside(1), data)
    assert table[0].loss is not None
    assert table[0].accuracy is None
    assert table.more["float"]["accuracy"] is None


def test_agreement_is_told_for_pairs_of_measures() -> None:
    table = _measure(Beside(4), _make_data(40), "int4 channel")
    (entry,) = table.more["agreement"]
    assert (entry["a"], entry["b"], entry["over"], entry["layers"]) == ("output_sqnr_db", "output_cosine", "samples", 4)
    assert entry["spearman_low"] <= entry["spearman"] <= entry["spearman_high"]
    assert np.isfinite([entry["kendall_low"], entry["kendall"], entry["kendall_high"]]).all()
