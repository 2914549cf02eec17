"""ONNX Runtime's own measure of weight errors agrees on a model that it quantized, and a model says the same in ONNX as
in torch.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.qdq_loss_debug import compute_weight_error, create_weight_matching

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.forms.onnx_export import export_torch
from qanalysis.models.running.opening import open_model
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
from qanalysis.sweeps.sweep import sweep
from tests.models.running.onnx_models import draw, network, run, save


class Drawn(CalibrationDataReader):
    """Some batches of drawn numbers."""

    def __init__(self) -> None:
        self._batches: Iterator[dict[str, NDArray[np.float32]]] = iter(
            [{"x": draw(4, 1, 6, 6, seed=seed)} for seed in range(3)]
        )

    def get_next(self) -> Any:
        return next(self._batches, None)


@pytest.fixture(scope="module", params=[False, True], ids=["per tensor", "per channel"])
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, bool]:
    """A float model, and the same as the runtime quantizes it with ranges of drawn batches."""
    folder, logger = tmp_path_factory.mktemp("qdq"), logging.getLogger()
    plain, made, level = save(folder / "float.onnx", network()), folder / "qdq.onnx", logger.level
    logger.setLevel(logging.ERROR)  # it recommends to preprocess
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            quantize_static(
                str(plain),
                str(made),
                Drawn(),
                quant_format=QuantFormat.QDQ,
                per_channel=request.param,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                # the tool subtracts a zero point from codes of 8 bits in 8 bits, where the difference may not fit
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
            )
    finally:
        logger.setLevel(level)
    return plain, made, request.param


def test_every_initializer_has_the_figure_of_the_runtimes_own_tool(quantized: tuple[Path, Path, bool]) -> None:
    plain, made, _is_per_channel = quantized
    theirs = compute_weight_error(create_weight_matching(str(plain), str(made)))
    assert {"conv.weight", "up.weight", "head.weight"} <= set(theirs)
    with open_checkpoint(plain) as source, open_checkpoint(made) as other:
        infos, decoded = ({info.name: info for info in one.tensors} for one in (source, other))
        for name, figure in theirs.items():
            x, y = source.read(infos[name]), other.read(decoded[f"{name}_quantized"])
            ours = 10 * np.log10((x.astype(np.float64) ** 2).sum() / ((x.astype(np.float64) - y) ** 2).sum())
            # the tool multiplies codes of 32 bits, those of biases, in float64 and not, as the runtime does, in float32
            rounding = 20 * np.log10(1 + 2**-24 * 10 ** (figure / 20)) if name.endswith("bias") else 0
            assert ours == pytest.approx(figure, abs=1e-4 + rounding), name


def test_a_sweep_predicts_those_figures_from_the_float_model(quantized: tuple[Path, Path, bool]) -> None:
    plain, made, is_per_channel = quantized
    theirs = compute_weight_error(create_weight_matching(str(plain), str(made)))
    with open_checkpoint(plain) as source:
        rows = sweep(source, ["int8 channel" if is_per_channel else "int8"], workers=1)
    ours = {row.tensor: row.sqnr_db for row in rows if row.tensor in theirs}
    assert len(ours) >= 3
    assert ours == pytest.approx({name: theirs[name] for name in ours}, abs=1e-4)


def test_a_model_that_the_runtime_quantized_runs_here_too(quantized: tuple[Path, Path, bool]) -> None:
    import onnx
    import torch

    from qanalysis.models.calibration.samples import Batch

    _plain, made, _is_per_channel = quantized
    x = draw(4, 1, 6, 6, seed=1)
    with open_model(str(made)) as model:
        found = model.record(Batch({"x": torch.from_numpy(x)})).outputs.numpy()
    # weights come decoded, all else is the file's own; steps are of 1/255 of the ranges, and a value at the edge of one
    # may fall on its other side
    assert np.abs(found - run(onnx.load(str(made)), {"x": x})).max() <= 2 * np.ptp(found) / 255


def test_a_network_has_the_same_sensitivities_in_onnx_as_in_torch(tmp_path: Path) -> None:
    schemes = ["int4 channel", "int8"]
    with open_model("sample:digits-cnn") as model:
        calibration = open_calibration("sample", model, samples=16)
        (batch,) = calibration.blocks
        with open_model(str(export_torch(model, batch, tmp_path))) as other:
            ours, theirs = (
                measure_sensitivity(one, calibration, schemes, measures=(), floor=False, additivity=False)
                for one in (model, other)
            )
            y, z = model.record(batch).outputs.double(), other.record(batch).outputs.double()
    assert [(row.tensor, row.scheme) for row in ours] == [(row.tensor, row.scheme) for row in theirs]
    apart = float((y - z).norm() / y.norm())
    for row, same in zip(ours, theirs, strict=True):
        # outputs with and without the change are each so far apart by rounding, which moves the error by twice as much
        share = 2 * 2 * apart * 10 ** (row.output_sqnr_db / 20)
        assert same.output_sqnr_db == pytest.approx(row.output_sqnr_db, abs=20 * np.log10(1 + share)), row.tensor
        assert same.accuracy == row.accuracy
