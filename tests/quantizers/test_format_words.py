"""What a format's scheme may say and what its rows and refusals say: storage, fixed words, blocks that do not divide, elements that are no numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.words import parse_format
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep
from tests.reference import check_row
from tests.reference_formats import ALL_FORMATS, BLOCKS, SCALED_FLOATS, FormatWords, code, describe_format


def give_row(x: NDArray, text: str) -> Row:
    return sweep({"x": x}, [text], workers=1)[0]


# --- storage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bits_per_weight"),
    [
        # 4 x 512 values: 2048.
        ("binary channel", 1 + 32 / 512),
        ("ternary channel scale=float16", 2 + 16 / 512),
        ("fp8_e4m3", 8 + 32 / 2048),
        ("fp8_e5m2 channel", 8 + 32 / 512),
        ("fp6_e2m3 group=32 scale=float16", 6.5),
        ("fp6_e3m2 group=128", 6.25),
        ("fp4_e2m1 group=32 scale=pow2:library", 4.25),
        ("mxfp4", 4.25),
        ("mxfp6_e2m3", 6.25),
        ("mxfp6_e3m2", 6.25),
        ("mxfp8_e4m3", 8.25),
        ("mxfp8_e5m2", 8.25),
        ("mxint8", 8.25),
        ("nvfp4", 4.5 + 32 / 2048),
        ("nvfp4:one-level", 4.5),
        ("nf4 group=64", 4.5),
        ("nf4 group=128 scale=bfloat16", 4.125),
        # 8 bits a group, one block of scales, one mean; then 512 groups in two blocks of scales.
        ("nf4 group=64 scale=double", 4 + 8 / 64 + 64 / 2048),
        ("nf4 group=4 scale=double", 4 + 8 / 4 + 96 / 2048),
        ("bfloat16", 16),
        ("float16", 16),
        ("gguf:q4_0", 4.5),
        ("gguf:q4_1", 5),
        ("gguf:q5_0", 5.5),
        ("gguf:q5_1", 6),
        ("gguf:q8_0", 8.5),
        ("gguf:tq1_0", 1.6875),
        ("gguf:tq2_0", 2.0625),
        ("gguf:mxfp4", 4.25),
    ],
)
def test_storage_counts_every_bit(text: str, bits_per_weight: float) -> None:
    row = give_row(np.random.default_rng(23).normal(size=(4, 512)).astype(np.float32), text)
    assert (row.bits_per_weight, row.size_bytes) == (bits_per_weight, math.ceil(bits_per_weight * 2048 / 8))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("mxfp4", ("mxfp4", 4, "group=32", "sym", "minmax", "e8m0")),
        ("nvfp4", ("nvfp4", 4, "group=16", "sym", "minmax", "fp8_e4m3")),
        ("gguf:q4_0", ("gguf:q4_0", 4, "group=32", "sym", "minmax", "float16")),
        ("gguf:tq1_0", ("gguf:tq1_0", 2, "group=256", "sym", "minmax", "float16")),
        ("bfloat16", ("bfloat16", 16, "tensor", "sym", "minmax", "none")),
        ("nf4 scale=double", ("nf4", 4, "group=64", "sym", "minmax", "double")),
        ("fp8_e4m3 channel range=mse", ("fp8_e4m3", 8, "channel", "sym", "mse:100", "float32")),
    ],
)
def test_rows_name_what_the_format_fixes(text: str, columns: tuple[str, int, str, str, str, str]) -> None:
    row = give_row(np.ones((2, 256), np.float32), text)
    assert (row.scheme, row.format, row.bits, row.grouping, row.symmetry, row.range, row.scale) == (text, *columns)


# --- what does not go together ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *(
            "mxfp4 group=128",
            "mxfp4 tensor",
            "mxint8 channel",
            "nvfp4 group=32",
            "gguf:q4_0 group=64",
            "gguf:q4_0 asym",
            "gguf:q4_1 sym-full",
            "mxfp8_e4m3 sym-clip",
        ),
        *(
            "mxfp4 range=mse",
            "nvfp4 range=percentile:99",
            "gguf:q8_0 range=meanstd:3",
            "binary range=mse",
            "ternary range=percentile:99",
            "bfloat16 range=mse",
        ),
        *(
            "mxfp4 scale=float16",
            "nvfp4 scale=pow2",
            "gguf:q4_0 scale=bfloat16",
            "bfloat16 scale=float16",
            "int4 scale=double",
            "fp8_e4m3 scale=double",
        ),
        *(
            "nf4 round=floor",
            "binary round=ceil",
            "ternary round=half-up",
            "gguf:q8_0 round=to-zero",
            "gguf:mxfp4 round=stochastic:1",
        ),
        *(
            "binary asym",
            "ternary sym-full",
            "fp8_e4m3 asym",
            "fp4_e2m1 sym-noclip",
            "nf4 asym",
            "float16 asym",
            "float16 channel",
            "bfloat16 group=32",
        ),
    ],
)
def test_words_that_a_format_can_not_obey_are_refused_by_name(text: str) -> None:
    name, word = text.split()
    with pytest.raises(ValueError, match=rf"scheme '{text}': {name} .*{word.partition('=')[2] or word}"):
        Scheme.parse(text)


@pytest.mark.parametrize("name", [*SCALED_FLOATS, "nf4"])
def test_unequal_levels_have_no_divergence_search(name: str) -> None:
    with pytest.raises(
        ValueError,
        match=rf"scheme '{name} range=kl:64': {name} has unequal levels, and range=kl:64 compares histograms of equal ones; use minmax",
    ):
        Scheme.parse(f"{name} range=kl:64")


@pytest.mark.parametrize("text", ["fp8", "fp8_e3m4", "nf8", "gguf:", "mxfp5", "nvfp4:two-level", "float8", "q4_0"])
def test_unknown_formats_list_the_known_ones(text: str) -> None:
    with pytest.raises(
        ValueError,
        match=rf"format '{text}' is unknown.*; formats are int2 to int16, binary, ternary, fp8_e4m3.*gguf:mxfp4",
    ):
        parse_format(text)


@pytest.mark.parametrize(
    ("name", "columns"),
    [(name, columns) for name, block in BLOCKS.items() for columns in (1, 8, 33, 48, 257) if columns % block],
)
def test_blocks_that_do_not_divide_the_row_are_refused_with_a_reason(name: str, columns: int) -> None:
    x = np.ones((2, columns), np.float32)
    row, other = sweep({"x": x}, [name, "int4"])
    assert (row.status, row.sqnr_db, other.status) == ("unsupported", None, "ok")
    assert row.reason.startswith(f"{name} codes blocks of {BLOCKS[name]}, which do not divide a row of {columns}")
    with pytest.raises(
        ValueError, match=f"{name} codes blocks of {BLOCKS[name]}, which do not divide a row of {columns}"
    ):
        Scheme.parse(name).fit(x)


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_elements_that_are_not_finite_are_counted_and_kept_out_of_every_sum(name: str) -> None:
    x = np.random.default_rng(24).normal(size=(2, 512)).astype(np.float32)
    x[0, [3, 100, 300]] = [np.nan, np.inf, -np.inf]
    x[1, 256:] = np.nan
    row = give_row(x, "nf4 tensor" if name == "nf4" else name)  # the reference has one scale
    assert (row.non_finite, row.relative_count) == (259, 1024 - 259)
    check_row(row, describe_format(x, FormatWords(name)))
    coded = code(x, FormatWords(name))
    e = [float(b) - float(a) for a, b in zip(coded.x, coded.y, strict=True) if math.isfinite(a)]
    # Lanes of at most 1024 float32 terms.
    assert row.mse == pytest.approx(math.fsum(d * d for d in e) / 765, rel=1028 * 2.0**-24)


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_scheme_texts_parse_back(name: str) -> None:
    scheme = Scheme.parse(name)
    assert str(scheme) == name
    assert Scheme.parse(str(scheme)) == scheme
