"""Does the gguf package agree on blocks, those it writes and those it only reads?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.validation.check import Agreement, Comparison, count_differing
from qanalysis.validation.tensors import round_trip, whole_tensors

BLOCKS = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0", "mxfp4")
KINDS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS")
LARGEST_HALF = 65504  # no scale or offset of a block is beyond its largest magnitude
HALF_REASON = "a scale that float16 can not hold becomes inf there and the block inf or NaN; the largest float16 here"
TIES_REASON = (
    "ties between two levels go toward zero in GGUF's MXFP4, to the even mantissa in OCP's; `gguf:mxfp4` names the "
    "former"
)


def compare_gguf() -> Iterator[Comparison]:
    """Each block format that the package writes, and those that are only read."""
    for word in BLOCKS:
        yield Comparison(
            f"gguf:{word}: quantize, dequantize", "bit-exact", 0, partial(_compare_blocks, f"gguf:{word}", word)
        )
    yield Comparison(f"reading {len(KINDS)} kinds of K- and I-quants: dequantize", "bit-exact", 0, _compare_reading)
    yield Comparison(
        "gguf:q4_0, scales beyond float16",
        "bit-exact",
        None,
        partial(_compare_blocks, "gguf:q4_0", "q4_0", beyond=True),
        HALF_REASON,
    )
    yield Comparison(
        "mxfp4 (OCP): MXFP4 of GGUF", "bit-exact", None, partial(_compare_blocks, "mxfp4", "mxfp4"), TIES_REASON
    )


def _compare_blocks(scheme: str, word: str, *, beyond: bool = False) -> Agreement:
    """Over the rows whose scales float16 holds, or over those `beyond`."""
    rows = [x[(np.abs(x).max(axis=1) > LARGEST_HALF) == beyond] for x in whole_tensors().values()]
    return count_differing((round_trip(x, scheme), _quantize(x, word)) for x in rows if x.size)


def _compare_reading() -> Agreement:
    """Random blocks, those of scale NaN or inf among them, as a file holds them."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter
    from gguf.quants import dequantize

    rng = np.random.default_rng(5)
    kinds = {kind: GGMLQuantizationType[kind] for kind in KINDS}
    blocks = {
        kind: rng.integers(0, 256, (8, 4 * GGML_QUANT_SIZES[block][1]), dtype=np.uint8) for kind, block in kinds.items()
    }
    with TemporaryDirectory() as folder, np.errstate(all="ignore"):
        path = Path(folder, "blocks.gguf")
        writer = GGUFWriter(path, "llama")
        for kind, raw in blocks.items():
            writer.add_tensor(kind, raw, raw_dtype=kinds[kind])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return count_differing(
            (values, dequantize(blocks[kind], kinds[kind])) for kind, values in _read_tensors(path).items()
        )


def _read_tensors(path: Path) -> dict[str, Floats]:
    from qanalysis.checkpoints.catalogue import open_checkpoint

    with open_checkpoint(path) as source:
        return {info.name: source.read(info) for info in source.tensors}


def _quantize(x: Floats, word: str) -> Floats:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    block = GGMLQuantizationType[word.upper()]
    with np.errstate(all="ignore"):
        restored: Floats = dequantize(quantize(x, block), block)
    return restored
