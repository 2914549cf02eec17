"""What work weighs, what is counted as done, and what an estimate says, against sums by hand."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.work import WORK_PER_S, Estimate, Ledger, count_cores, weigh, weigh_tensor, weigh_work


def test_a_range_rule_that_searches_weighs_what_it_costs() -> None:
    tensors = [TensorInfo("a", (20, 30), "float32", 2400), TensorInfo("b", (400,), "float32", 1600)]
    schemes = [
        "int4",
        "int8 asym group=32",
        "int4 range=mse:1",
        "int4 range=mse:100",
        "int4 range=percentile:99.9",
        "int4 range=meanstd:3",
        "int4 range=kl",
    ]
    assert [weigh_work(tensors, [text]) for text in schemes] == [1_000, 1_000, 1_000, 50_000, 10_000, 10_000, 1_000_000]
    assert weigh_work(tensors, schemes) == 1_073_000
    assert [
        weigh_work(tensors, [text]) for text in ("mxfp4", "nf4 channel range=percentile:99", "fp8_e4m3 range=mse:10")
    ] == [3_000, 30_000, 100_000]


def test_a_divergence_weighs_by_its_groups_and_codes() -> None:
    def weigh_kl(text: str, shape: tuple[int, int]) -> float:
        scheme = Scheme.parse(text)
        return weigh(scheme, scheme.lay_out(shape))

    # 4 bins an element: 128 for 32, less 7 codes; each of them steps 7 times at 4 and once at 20.
    assert weigh_kl("int4 group=32 range=kl", (8, 64)) == 10 + 121 * 48 / 32
    assert weigh_kl("int8 channel range=kl", (8, 1000)) == 10 + (2048 - 127) * (4 * 127 + 20) / 1000
    assert weigh_kl("int12 channel range=kl", (8, 64)) == 10
    assert weigh_kl("int4 channel", (8, 64)) == 1
    assert weigh_kl("int4 channel range=mse:40", (8, 64)) == 20


def test_the_work_of_a_tensor_leaves_out_what_can_not_be_measured() -> None:
    plan = [Scheme.parse(text) for text in ("int4", "gguf:q4_0", "int4 range=mse:40")]
    assert weigh_tensor(plan, (4, 32), 0) == 4 * 32 * (1 + 3 + 20)
    assert weigh_tensor(plan, (4, 31), 0) == 4 * 31 * (1 + 20)
    assert weigh_tensor(plan, (), 0) == weigh_tensor(plan, (3, 0), 0) == 0


def test_accounts_add_up_to_the_whole_whatever_was_noted() -> None:
    ledger = Ledger(30.0)
    first, second = ledger.open(10.0), ledger.open(20.0)
    first.spend(4.0)
    assert ledger.share == 4 / 30
    first.spend(40.0)
    assert (ledger.done, first.left) == (10.0, 0.0)
    second.close()
    second.spend(1.0)
    assert (ledger.done, ledger.share) == (30.0, 1.0)
    assert Ledger(0.0).share == 0


def test_many_threads_note_all_they_did() -> None:
    ledger = Ledger(4000.0)
    accounts = [ledger.open(1000.0) for _ in range(4)]
    threads = [threading.Thread(target=lambda one=one: [one.spend(1.0) for _ in range(1000)]) for one in accounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.done == 4000.0


def test_a_search_notes_its_part_at_every_call_and_passes_the_stop_on() -> None:
    ledger, stops = Ledger(8.0), []

    def check() -> None:
        if stops:
            raise CancelledError

    step = ledger.open(8.0).spread(6.0, 3, check)
    done = []
    for _ in range(4):
        step()
        done.append(ledger.done)
    assert done == [2.0, 4.0, 6.0, 6.0]
    stops.append(1)
    with pytest.raises(CancelledError):
        step()


def test_an_estimate_counts_values_calls_rows_and_what_is_held() -> None:
    tensors = [TensorInfo("a", (100, 200), "float32", 80_000), TensorInfo("codes", (9,), "int64", 72, decodes=False)]
    plain, searched = Estimate.of(tensors, ["int4"]), Estimate.of(tensors, ["int4", "int4 range=mse:40"])
    speed = WORK_PER_S * count_cores()
    # Two tensors under one grid, or under one grid and 1 + 40 of a search, at 20,000 a call.
    assert plain.seconds == pytest.approx((20_000 + 2 * 20_000) / speed, rel=1e-12)
    assert searched.seconds == pytest.approx((20_000 * 21 + 2 * 42 * 20_000) / speed, rel=1e-12)
    assert plain.memory_bytes == 4 * 4 * 20_000 + 400 * 2
    large = [TensorInfo("w", (5000, 1000), "float32", 0)]
    assert Estimate.of(large, ["int4"]).memory_bytes == 4 * 4 * 2**21 + 400
    assert Estimate.of(large, ["int4 range=mse"]).memory_bytes == 4 * 4 * 5_000_000 + 400
