"""Do compressed-tensors, quanto and ONNX Runtime agree on integers? They divide by the step where we multiply by
1/step.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.quantizers.scheme import Scheme
from qanalysis.validation import compressed_layouts, onnxruntime_layouts, quanto_layouts
from qanalysis.validation.check import (
    METRIC_DB,
    SQNR_DB,
    Agreement,
    Comparison,
    compare_figures,
    compare_sqnr,
    count_differing,
    count_ulps,
    read_sqnr_db,
)
from qanalysis.validation.tensors import fit_zero_points, make_tensors, make_weights, round_trip

LENGTHS = (32, 64, 128)
FAMILIAR = ("weights", "heavy tails", "zeros")
SHIFT_REASON = "the shift is a real number there and zero need not be a level; with zeropoint=True it agrees"
IDLE_REASON = "a group of zeros gets the step 1.2e-7 there, 1 here; the values are zeros in both"


def compare_compressed_tensors() -> Iterator[Comparison]:
    """Weights in groups, symmetric and affine."""
    for ours, theirs in (("sym-full", "symmetric"), ("asym", "affine")):
        yield Comparison(f"int4, int8 {ours} groups: {theirs}", "dB", SQNR_DB, partial(_compare_groups, ours))
        yield Comparison(f"int4 {ours} groups: scales of calculate_qparams", "ulp", 1, partial(_compare_scales, ours))
    yield Comparison("int4 asym groups: zero points", "bit-exact", 0, _compare_zero_points)
    yield Comparison("int4 sym-full: steps of groups of zeros", "bit-exact", None, _compare_idle_steps, IDLE_REASON)
    yield from compressed_layouts.compare_layouts()


def _choose_parameters(x: Floats, symmetry: str, bits: int, length: int) -> tuple[Any, Any, Any]:
    import torch
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.utils import calculate_qparams

    settings = QuantizationArgs(num_bits=bits, symmetric=symmetry == "sym-full", strategy="group", group_size=length)
    groups = torch.from_numpy(np.array(x)).reshape(len(x), -1, length)
    return *calculate_qparams(groups.amin(-1), groups.amax(-1), settings), settings


def _compare_groups(symmetry: str) -> Agreement:
    import torch
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize

    def restore(x: Floats, bits: int, length: int) -> Floats:
        scale, zero_point, settings = _choose_parameters(x, symmetry, bits, length)
        restored: Floats = fake_quantize(torch.from_numpy(np.array(x)), scale, zero_point, settings).numpy()
        return restored

    tensors = [make_tensors()[name] for name in FAMILIAR]
    return compare_sqnr(
        (x, round_trip(x, f"int{bits} {symmetry} group={n}"), restore(x, bits, n))
        for x in tensors
        for bits in (4, 8)
        for n in LENGTHS
    )


def _compare_scales(symmetry: str) -> Agreement:
    x = make_weights()
    return count_ulps(
        (
            Scheme.parse(f"int4 {symmetry} group={n}").fit(x).step,
            _choose_parameters(x, symmetry, 4, n)[0].numpy().ravel(),
        )
        for n in LENGTHS
    )


def _compare_zero_points() -> Agreement:
    """Codes are signed numbers there, so that 8 lies between the two."""
    x = make_weights()
    return count_differing(
        (fit_zero_points(x, f"int4 asym group={n}") - 8, _choose_parameters(x, "asym", 4, n)[1].numpy().ravel())
        for n in LENGTHS
    )


def _compare_idle_steps() -> Agreement:
    x = np.zeros((4, 32), np.float32)
    return count_differing(
        [
            (
                Scheme.parse("int4 sym-full group=32").fit(x).step,
                _choose_parameters(x, "sym-full", 4, 32)[0].numpy().ravel(),
            )
        ]
    )


def compare_quanto() -> Iterator[Comparison]:
    """Weights per channel, and affine weights in groups."""
    yield Comparison("int8 channel: qint8", "dB", SQNR_DB, _compare_qint8)
    for bits in (2, 4):
        yield Comparison(
            f"int{bits} asym groups: qint{bits} with zeropoint=True",
            "dB",
            SQNR_DB,
            partial(_compare_affine, bits, zeropoint=True),
        )
        yield Comparison(
            f"int{bits} asym groups: qint{bits}",
            "dB",
            None,
            partial(_compare_affine, bits, zeropoint=False),
            SHIFT_REASON,
        )
    yield from quanto_layouts.compare_layouts()


def _compare_qint8() -> Agreement:
    import torch
    from optimum.quanto import AbsmaxOptimizer, qint8, quantize_weight

    def restore(x: Floats) -> Floats:
        tensor = torch.from_numpy(np.array(x))
        restored: Floats = (
            quantize_weight(tensor, qint8, 0, AbsmaxOptimizer()(tensor, qint8, 0), optimized=False).dequantize().numpy()
        )
        return restored

    return compare_sqnr((x, round_trip(x, "int8 channel"), restore(x)) for x in _list_tensors())


def _compare_affine(bits: int, *, zeropoint: bool) -> Agreement:
    import torch
    from optimum.quanto import MaxOptimizer, qtypes, quantize_weight

    def restore(x: Floats, length: int) -> Floats:
        tensor, qtype = torch.from_numpy(np.array(x)), qtypes[f"qint{bits}"]
        scale, shift = MaxOptimizer()(tensor, qtype, 0, length, zeropoint=zeropoint)
        restored: Floats = quantize_weight(tensor, qtype, 0, scale, shift, length, optimized=False).dequantize().numpy()
        return restored

    tensors = [make_tensors()[name] for name in ("weights", "heavy tails")]
    return compare_sqnr(
        (x, round_trip(x, f"int{bits} asym group={n}"), restore(x, n)) for x in tensors for n in (64, 128)
    )


def compare_onnxruntime() -> Iterator[Comparison]:
    """Tensors as its quantization tools code them, its figure of merit, its calibrated range, and a whole model."""
    for scheme, code, symmetric in (
        ("int8", "INT8", True),
        ("int16", "INT16", True),
        ("int4 sym-full", "INT4", True),
        ("int8 asym", "UINT8", False),
        ("int4 asym", "UINT4", False),
    ):
        name = f"{scheme} tensor: quantize_data {code}"
        yield Comparison(name, "dB", SQNR_DB, partial(_compare_tensor, scheme, code, symmetric=symmetric))
        yield Comparison(
            f"{scheme} tensor: scale", "ulp", 1, partial(_compare_scale, scheme, code, symmetric=symmetric)
        )
    yield Comparison("SQNR: qdq_loss_debug", "dB", METRIC_DB, _compare_metric)
    yield Comparison("weights of a QDQ model: compute_weight_error", "dB", METRIC_DB, _compare_model)
    yield Comparison("range=percentile:99.9: calibrator, in bins", "relative", 1, _compare_percentile)
    yield from onnxruntime_layouts.compare_layouts()


def _compare_tensor(scheme: str, code: str, *, symmetric: bool) -> Agreement:
    def restore(x: Floats) -> Floats:
        zero_point, scale, codes = _quantize_data(x, code, symmetric=symmetric)
        return (codes - zero_point) * scale

    return compare_sqnr((x, round_trip(x, scheme), restore(x)) for x in _list_tensors())


def _compare_scale(scheme: str, code: str, *, symmetric: bool) -> Agreement:
    return count_ulps(
        (Scheme.parse(scheme).fit(x).step, _quantize_data(x, code, symmetric=symmetric)[1]) for x in _list_tensors()
    )


def _quantize_data(x: Floats, code: str, *, symmetric: bool) -> tuple[Floats, Floats, Floats]:
    """Zero point and scale, each of shape (1,), and the codes, all as float32."""
    from onnxruntime.quantization.quant_utils import TensorProto, quantize_data

    zero_point, scale, codes = (
        np.asarray(part).astype(np.float32) for part in quantize_data(x, TensorProto.DataType.Value(code), symmetric)
    )
    return zero_point.reshape(1), scale.reshape(1), codes.reshape(x.shape)


def _list_tensors() -> list[Floats]:
    return [make_tensors()[name] for name in ("weights", "heavy tails", "ragged")]


def _compare_metric() -> Agreement:
    from onnxruntime.quantization.qdq_loss_debug import compute_signal_to_quantization_noice_ratio as read_peer_db

    x = make_weights()
    restored = [round_trip(x, scheme) for scheme in ("int4 group=128", "int8 channel", "int3 asym group=32")]
    return compare_figures([(read_sqnr_db(x, y), read_peer_db(x, y)) for y in restored])


def _compare_percentile() -> Agreement:
    """Distance of the two clips in bins of the calibrator's histogram."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    x, bins = make_weights(), 2048
    collector = HistogramCollector(
        method="percentile", symmetric=True, num_bins=bins, num_quantized_bins=128, percentile=99.9, scenario="same"
    )
    collector.collect({"x": [np.array(x)]})
    theirs = float(collector.compute_collection_result()["x"][1])
    ours = float(Scheme.parse("int8 range=percentile:99.9").fit(x).step[0]) * 127
    return Agreement(abs(ours - theirs) / (2 * float(np.abs(x).max()) / bins), x.size)


def _compare_model() -> Agreement:
    """Every weight of a model that ONNX Runtime quantizes, against the rows of a sweep over the float model."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.qdq_loss_debug import compute_weight_error, create_weight_matching

    from qanalysis.checkpoints.catalogue import open_checkpoint
    from qanalysis.sweeps.sweep import sweep

    with TemporaryDirectory() as folder:
        plain, quantized = Path(folder, "float.onnx"), Path(folder, "qdq.onnx")
        _write_model(plain)
        options = {"ActivationSymmetric": True, "WeightSymmetric": True}
        quantize_static(
            str(plain),
            str(quantized),
            _OneBatch(),
            quant_format=QuantFormat.QDQ,
            weight_type=QuantType.QInt8,
            extra_options=options,
        )
        theirs = compute_weight_error(create_weight_matching(str(plain), str(quantized)))
        with open_checkpoint(plain) as source:
            ours = {row.tensor: row.sqnr_db for row in sweep(source, ["int8"], workers=1)}
    return compare_figures([(ours[name] or 0.0, theirs[name]) for name in ours])


class _OneBatch:
    """What the calibration of a model reads: one input."""

    def __init__(self) -> None:
        self._batches = iter([{"x": np.ones((1, 256), np.float32)}])

    def get_next(self) -> dict[str, Floats] | None:
        return next(self._batches, None)

    def __iter__(self) -> Iterator[dict[str, Floats]]:
        return self._batches


def _write_model(path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    weights = {
        "wide": np.ascontiguousarray(make_weights()[:, :64]),
        "narrow": np.ascontiguousarray(make_weights()[:64, 96:112]),
    }
    nodes = [helper.make_node("MatMul", ["x", "wide"], ["h"]), helper.make_node("MatMul", ["h", "narrow"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in (("x", 256), ("y", 16))]
    graph = helper.make_graph(
        nodes,
        "two layers",
        ends[:1],
        ends[1:],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
