"""Every figure of a sensitivity against a loop that quantizes one layer, runs the whole model, and puts it back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.running.opening import open_model
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
from qanalysis.quantizers.scheme import Scheme

SCHEMES = ("int4 channel", "int3 group=32")


@pytest.mark.parametrize(
    ("name", "batch"), [("digits-mlp", None), ("digits-cnn", None), ("digits-cnn", 17), ("words-transformer", None)]
)
def test_each_layer_alone_does_to_the_outputs_what_a_loop_says(name: str, batch: int | None) -> None:
    model = open_model(f"sample:{name}")
    data = open_calibration("sample", model, samples=20)
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    table = measure_sensitivity(model, data, SCHEMES, batch=batch, floor=False, additivity=False, measures=())
    inputs, labels = data.blocks[0].inputs["x"], data.blocks[0].targets
    with torch.no_grad():
        y = model.module(inputs).double()
        for row in table:
            owned = model.find(row.tensor)
            kept = owned.value.detach().clone()
            fitted = Scheme.parse(row.scheme).fit(kept.numpy(), axis=owned.info.view)
            owned.value.data.copy_(torch.from_numpy(fitted.round_trip(kept.numpy())))
            q = model.module(inputs).double()
            owned.value.data.copy_(kept)
            nsr = float((q - y).square().sum() / y.square().sum())
            # Batches of another size may sum their products in another order: float32, some hundreds of terms, 1e-6.
            assert row.output_sqnr_db == pytest.approx(-10 * math.log10(nsr), abs=1e-3 if batch else 1e-9)
            assert row.output_relative_l2 == pytest.approx(math.sqrt(nsr), rel=1e-4 if batch else 1e-9)
            counts = labels != -100
            log_p, log_q = functional.log_softmax(y, -1), functional.log_softmax(q, -1)
            kl = (log_p.exp() * (log_p - log_q)).sum(-1)[counts]
            assert row.output_kl == pytest.approx(float(kl.mean()), rel=1e-3 if batch else 1e-9)
            assert row.output_kl_p99 == pytest.approx(float(np.quantile(kl.float().numpy(), 0.99)), rel=1e-3)
            loss = functional.cross_entropy(q.flatten(0, -2), labels.flatten(), ignore_index=-100)
            assert row.loss == pytest.approx(float(loss), rel=1e-6)
            assert row.accuracy == pytest.approx(float((q.argmax(-1) == labels)[counts].double().mean()))
            assert row.tokens == int(counts.sum())
    assert all(torch.equal(value, before[key]) for key, value in model.module.state_dict().items())
