"""What does the layout of packed values say of their quantizer? Number format, groups, symmetry, and the SQNR that
theory predicts for Gaussian values in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from qanalysis.checkpoints.source import TensorInfo

if TYPE_CHECKING:  # the compiled loops behind schemes are loaded where a scheme is made
    from qanalysis.quantizers.scheme import Scheme

_GROUPING = re.compile(r"(?:^| )(tensor|channel|group=[0-9]{1,18}|block=[0-9]{1,18}x[0-9]{1,18})(?= |$)")
_INTEGER = re.compile(r"(?:^|[ .])(q?)(u?)int([0-9]{1,2})(?= |$)")
_SMALL = re.compile(r"(?:^| )(nf4|fp4|nvfp4|mxfp4|mxfp6|mxfp8|fp8)(?= |$)")
_FLOAT8 = re.compile(r"(?:^| )(?:float8_)?(e4m3fnuz|e5m2fnuz|e4m3fn|e4m3|e5m2)(?= |$)")
_FIRST_DIGIT = re.compile(r"[0-9]")
_GGUF, _OWN = "gguf:", "qanalysis "
#: How the tools of a layout lay integers without a zero point of their own; that of the others is `sym-full`.
_SYMMETRIC = {"qdq": "sym", "qlinear": "sym", "llm.int8": "sym", "quanto": "sym", "cast": "sym"}
#: Layouts whose integers have a zero point or an offset in each group.
_SHIFTED = ("awq", "mlx", "hqq")
#: Layouts of which the words do not tell whether zero points are all in the middle.
_OPEN = ("gptq", "gatherblockquantized")
_SMALL_BITS = {"nf4": 4, "fp4": 4, "nvfp4": 4, "mxfp4": 4, "mxfp6": 6, "mxfp8": 8, "fp8": 8}
_PLAIN_BITS = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16}


@dataclass(frozen=True, slots=True)
class StoredFormat:
    """What a file says of one tensor's quantizer.

    `format` is the number format in the words of schemes ("int4", "nf4", "gguf:q4_k", "bfloat16"), empty where it is
    not known; `bits` are those of a code, None where not known; `grouping` is empty where it is not told. `symmetric`
    is None where the words leave it open, and where it has no meaning. `scheme` is what the prediction is made for,
    None where there is none for this format.
    """

    format: str = ""
    bits: int | None = None
    grouping: str = ""
    symmetric: bool | None = None
    scheme: Scheme | None = None


def read_stored(info: TensorInfo) -> StoredFormat:
    """The format of one tensor of a file: of its packed layout, else of its dtype.

    >>> found = read_stored(TensorInfo("w", (8, 256), "int32", 1, stored="compressed-tensors int4 group=128"))
    >>> found.format, found.bits, found.grouping, found.symmetric, str(found.scheme)
    ('int4', 4, 'group=128', True, 'int4 sym-full group=128')
    """
    return _read(info.stored, info.dtype)


@lru_cache(maxsize=1 << 12)
def _read(stored: str, dtype: str) -> StoredFormat:
    if not stored:
        return _read_plain(dtype)
    if stored.startswith(_GGUF):
        digit = _FIRST_DIGIT.search(stored)
        return StoredFormat(stored, int(digit.group()) if digit else None, scheme=_parse(stored))
    if stored.startswith(_OWN):
        return _read_own(stored.removeprefix(_OWN))
    found = _GROUPING.search(stored)
    grouping = found[1] if found else ""
    integer = _INTEGER.search(stored)
    if integer:
        return _read_integer(stored, int(integer[3]), grouping, unsigned=bool(integer[2]))
    small = _SMALL.search(stored)
    return _read_small(stored, small[1], grouping) if small else StoredFormat(grouping=grouping)


def _read_plain(dtype: str) -> StoredFormat:
    if dtype in _PLAIN_BITS:
        return StoredFormat(dtype, _PLAIN_BITS[dtype])
    if dtype.startswith("float8_"):
        word = "fp8_e4m3" if dtype == "float8_e4m3fn" else dtype.replace("float8", "fp8")
        return StoredFormat(word, 8)
    return StoredFormat()


def _read_own(text: str) -> StoredFormat:
    scheme = _parse(text)
    if scheme is None:
        return StoredFormat()
    symmetric = scheme.symmetry.signed if scheme.format.is_integer else None
    return StoredFormat(str(scheme.format), scheme.format.bits, str(scheme.grouping), symmetric, scheme)


def _read_integer(stored: str, bits: int, grouping: str, *, unsigned: bool) -> StoredFormat:
    maker = stored.partition(" ")[0]
    shifted = stored.endswith(" asym") or unsigned or maker in _SHIFTED
    symmetry = "asym" if shifted else _SYMMETRIC.get(maker, "sym-full")
    scheme = _parse(f"int{bits} {symmetry} {grouping}") if grouping else None
    return StoredFormat(f"int{bits}", bits, grouping, None if maker in _OPEN and not shifted else not shifted, scheme)


def _read_small(stored: str, word: str, grouping: str) -> StoredFormat:
    bits = _SMALL_BITS[word]
    told = _FLOAT8.search(stored)
    kind = told[1].removesuffix("fn") if told else "e4m3"
    name = {"fp8": f"fp8_{kind}", "mxfp8": f"mxfp8_{kind}", "mxfp6": "mxfp6_e2m3", "fp4": "fp4_e2m1"}.get(word, word)
    if stored.startswith(("bnb fp4", "matmulbnb4 fp4")):  # a table of its own, not E2M1
        return StoredFormat("fp4", bits, grouping)
    if word in ("fp8", "nf4", "fp4"):
        double = " scale=double" if " nested" in stored else ""
        return StoredFormat(name, bits, grouping, scheme=_parse(f"{name} {grouping}{double}") if grouping else None)
    usual = {"nvfp4": "group=16"}.get(word, "group=32")
    return StoredFormat(name, bits, grouping or usual, scheme=_parse(name) if grouping in ("", usual) else None)


def _parse(text: str) -> Scheme | None:
    from qanalysis.quantizers.scheme import Scheme

    try:
        return Scheme.parse(text.strip())
    except ValueError:
        return None


def predict_stored_db(info: TensorInfo, *, sigma: float) -> float | None:
    """The SQNR in dB of independent Gaussian values of this standard deviation in the stored format of a tensor; None
    where its values are not packed and where there is no prediction.

    >>> packed = TensorInfo("w", (64, 256), "uint8", 1, stored="bnb nf4 group=64")
    >>> round(predict_stored_db(packed, sigma=0.02), 2)
    20.73
    """
    scheme = read_stored(info).scheme if info.stored else None
    if scheme is None or not info.numel or not 0.0 < sigma < float("inf"):
        return None
    from qanalysis.theory.predictions import predict_sqnr_db

    try:
        lengths = scheme.lay_out(info.shape, axis=info.view).length_counts
        return predict_sqnr_db(scheme, lengths, sigma=sigma)
    except ValueError:  # the format can not be laid on this shape
        return None
