"""Which parts of packed weights have lost their partners? They are no weights: each is told with what is missing.

These are asked after all layouts.
"""

from __future__ import annotations

from qanalysis.checkpoints.packed.logical import keep_packed
from qanalysis.checkpoints.packed.parts import Packed, PackedLayout, Stem
from qanalysis.checkpoints.source import FLOAT_DTYPES

_INTEGERS = {"uint8", "int8", "int16", "uint16", "int32", "uint32"}
#: Any of these beside codes says that a layout has been asked and that its reason stands.
_SCALES = (
    *(".scales", ".SCB", ".scale", ".weight_scale", ".weight_scale_inv", ".weight_scale_2", ".weight_scales"),
    *(".weight.absmax", ".weight.quant_state.bitsandbytes__nf4", ".weight.quant_state.bitsandbytes__fp4"),
)
_CODES = (
    ".qweight",
    ".weight",
    ".weight_packed",
    ".q_weight",
    ".codes",
    ".W_q",
    ".B",
    ".Qidxs",
    ".trellis",
    ".indices",
)


def _read_codes(stem: Stem) -> Packed | None:
    codes = stem.find(stem.anchor)
    if codes is None or codes.dtype not in _INTEGERS or len(codes.shape) != 2 or not codes.info.numel:
        return None
    if any(stem.stem + ending in stem.tensors for ending in _SCALES):
        return None
    reason = "codes without scales: its quantizer's parts are missing"
    return keep_packed(codes.info.name, (codes,), stored="codes", reason=reason)


def _read_scales(stem: Stem) -> Packed | None:
    scales, zeros = stem.find(".scales"), stem.find(".qzeros")
    if any(stem.stem + ending in stem.tensors for ending in _CODES):
        return None
    # A model may call a parameter of its own "scales".
    is_own = zeros is None and not stem.evidence.quantization
    if is_own or (scales is not None and (scales.dtype not in FLOAT_DTYPES or len(scales.shape) != 2)):
        return None
    parts = (scales, zeros, stem.find(".g_idx"), stem.find(".biases"))
    word = "scales" if scales else "zero points"
    reason = f"{word} without codes: its quantizer's parts are missing"
    return keep_packed(f"{stem.stem}{stem.anchor}", parts, stored="scales", reason=reason)


CODES = PackedLayout("codes", (".weight",), _read_codes)
SCALES = PackedLayout("scales", (".scales", ".qzeros"), _read_scales)
