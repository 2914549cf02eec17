"""All but one layer, all up to one, and quantized inputs, against a loop with hooks and the whole model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.models.sensitivity.gathering import choose_chunk
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
from qanalysis.quantizers.scheme import Scheme

#: What is measured beside the cells is another test's matter.
ALONE = {"floor": False, "additivity": False, "measures": ()}
NAMES = ("embed.weight", "parts.0.weight", "parts.1.weight", "parts.2.weight", "head.weight")


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 8), nn.Linear(8, 4)
        self.parts = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for part in self.parts:
            x = x + torch.tanh(part(x))
        return self.head(x.mean(1))


def make() -> tuple[TorchModel, Calibration]:
    torch.manual_seed(5)
    tokens = torch.randint(9, (40, 6))
    return TorchModel(Small(), "small"), Calibration((Batch({"x": tokens}),), "tokens")


@contextmanager
def quantized(model: TorchModel, names: tuple[str, ...], scheme: str) -> Iterator[None]:
    kept = {name: model.find(name).value.detach().clone() for name in names}
    for name, values in kept.items():
        fitted = Scheme.parse(scheme).fit(values.numpy())
        model.find(name).value.data.copy_(torch.from_numpy(fitted.round_trip(values.numpy())))
    yield
    for name, values in kept.items():
        model.find(name).value.data.copy_(values)


def run(model: TorchModel, data: Calibration) -> Tensor:
    with torch.no_grad():
        return model.module(data.blocks[0].inputs["x"]).double()


@pytest.mark.parametrize("scheme", ["int4 channel", "int3"])
def test_all_but_one_and_all_up_to_one(scheme: str) -> None:
    model, data = make()
    y = run(model, data)
    table = measure_sensitivity(model, data, [scheme], modes=["disable-one", "cumulative"], **ALONE)
    assert [row.tensor for row in table] == [*NAMES, *NAMES]
    for row in table:
        place = NAMES.index(row.tensor)
        changed = NAMES[: place + 1] if row.mode == "cumulative" else NAMES[:place] + NAMES[place + 1 :]
        with quantized(model, changed, scheme):
            q = run(model, data)
        # The same operations in the same order: only the sums over the outputs are taken in another one.
        assert row.output_nsr == pytest.approx(float((q - y).square().sum() / y.square().sum()), rel=1e-12)


def test_of_all_but_one_that_layer_hurts_most_without_which_the_output_is_best() -> None:
    model, data = make()
    rows = list(measure_sensitivity(model, data, ["int3"], modes=["disable-one"]))
    by_rank = sorted(rows, key=lambda row: row.rank or 0)
    best = max(row.output_sqnr_db or 0 for row in rows)
    assert best in [row.output_sqnr_db for row in by_rank if row.rank == 1]
    # Layers of one group stand in no order; those of another are apart, so that their figures are.
    groups = [
        [row.output_sqnr_db or 0 for row in by_rank if row.rank == rank]
        for rank in sorted({row.rank or 0 for row in rows})
    ]
    means = [sum(group) / len(group) for group in groups]
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize("target", ["activations", "both"])
@pytest.mark.parametrize("scheme", ["int8", "int8 channel", "int4 group=4"])
def test_inputs_are_quantized_on_their_own_ranges(target: str, scheme: str) -> None:
    model, data = make()
    y = run(model, data)
    table = measure_sensitivity(model, data, [scheme], targets=[target], **ALONE)
    for row in table:
        if row.tensor == "embed.weight":
            assert row.status == ("unsupported" if target == "activations" else "ok")
            continue
        part = model.find(row.tensor).module

        def turn(_part: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            rows = args[0].reshape(-1, 8).numpy()
            return (torch.from_numpy(Scheme.parse(scheme).fit(rows).round_trip(rows)).reshape(args[0].shape),)

        handle = part.register_forward_pre_hook(turn)
        with quantized(model, (row.tensor,) if target == "both" else (), scheme):
            q = run(model, data)
        handle.remove()
        # All samples go through at once, so that one static range is that of the batch too.
        assert row.output_nsr == pytest.approx(float((q - y).square().sum() / y.square().sum()), rel=1e-12)


def test_figures_do_not_depend_on_the_batch() -> None:
    model, data = make()
    whole, parts = (
        measure_sensitivity(
            model, data, ["int4 channel", "int8"], targets=["weights", "activations"], batch=batch, **ALONE
        )
        for batch in (40, 7)
    )
    for one, other in zip(whole, parts, strict=True):
        # Products of 8 terms in float32 may be summed in another order, 1e-7 of an output each.
        assert one.status == other.status
        if one.status == "ok":
            assert one.output_nsr == pytest.approx(other.output_nsr, rel=1e-3)
        assert one.samples == other.samples == 40


def test_a_model_of_one_layer_has_no_error_without_it() -> None:
    torch.manual_seed(6)
    model = TorchModel(nn.Linear(4, 3), "one layer")
    data = Calibration((Batch({"x": torch.randn(5, 4)}),), "noise")
    (row,) = measure_sensitivity(model, data, ["int4"], modes=["disable-one"])
    assert (row.output_sqnr_db, row.output_relative_l2, row.output_cosine) == (np.inf, 0, pytest.approx(1))


def test_what_never_runs_is_told() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    data = Calibration((Batch({"x": torch.randn(5, 4)}),), "noise")
    rows = {row.tensor: row for row in measure_sensitivity(TorchModel(Idle(), "idle"), data, ["int4"])}
    assert rows["idle.weight"].status == "unsupported"
    assert "no run" in rows["idle.weight"].reason
    assert rows["used.weight"].status == "ok"


def test_cancelling_keeps_what_is_done() -> None:
    import threading

    model, data = make()
    stop, told = threading.Event(), []

    def tell(progress) -> None:
        told.append(progress)
        if progress.done == 13:
            stop.set()

    table = measure_sensitivity(model, data, ["int4", "int8"], batch=20, on_progress=tell, cancel=stop)
    assert not table.complete
    # The second chunk of 20 was not finished: all cells, over the first alone.
    assert [row.samples for row in table] == [20] * 10
    first = measure_sensitivity(model, data.limit(20), ["int4", "int8"])
    assert [row.output_nsr for row in table] == pytest.approx([row.output_nsr for row in first], rel=1e-9)
    stop.clear()
    table = measure_sensitivity(
        model,
        data,
        ["int4", "int8"],
        cancel=stop,
        on_progress=lambda p: stop.set() if p.done == 3 else None,
    )
    assert [row.tensor for row in table] == ["embed.weight", "embed.weight", "parts.0.weight"]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


def test_whose_input_is_quantized_is_told_where_a_module_has_several_weights() -> None:
    torch.manual_seed(1)
    calibration = Calibration((Batch({"x": torch.randn(12, 5, 3)}),), "drawn")
    model = TorchModel(Recurrent(), "recurrent")
    table = measure_sensitivity(model, calibration, ["int4"], targets=["weights", "activations"], **ALONE)
    told = {(row.tensor, row.target): row.reason for row in table if "quantized is the input" in row.reason}
    assert set(told) == {("cell.weight_ih_l0", "activations"), ("cell.weight_hh_l0", "activations")}
    drawn = measure_sensitivity(model, calibration, ["int4 round=stochastic:1"], targets=["weights", "both"], **ALONE)
    assert ["how many samples run at once" in row.reason for row in drawn] == [False] * 3 + [True] * 3
    assert "'cell', which has 2 weights" in told["cell.weight_hh_l0", "activations"]


def test_fewer_samples_go_through_at_once_where_outputs_are_large() -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.part(x).repeat(1, 1 << 20)

    data = Calibration((Batch({"x": torch.zeros(50, 4)}),), "zeros")
    # 16 MiB of float32 a sample, held 14 times: four samples in 1 GiB
    assert choose_chunk(TorchModel(Wide(), "wide"), data) == 4
    assert choose_chunk(TorchModel(nn.Linear(4, 4), "narrow"), data) >= 50


def test_outputs_that_are_all_zero_say_why_there_is_no_figure() -> None:
    data = Calibration((Batch({"x": torch.zeros(5, 4)}),), "zeros")
    (row,) = measure_sensitivity(TorchModel(nn.Linear(4, 3, bias=False), "silent"), data, ["int4"])
    assert row.output_sqnr_db is None
    assert "outputs are all zero" in row.reason
