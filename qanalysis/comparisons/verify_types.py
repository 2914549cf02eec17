"""Is a tensor stored as its scheme says? Format, width, groups, zero points and bytes, from the header alone."""

from __future__ import annotations

from collections.abc import Iterator

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.comparisons.pair import Part, find_sizes
from qanalysis.comparisons.stored import StoredFormat, read_stored
from qanalysis.comparisons.verify_row import Status
from qanalysis.quantizers.grouping import Layout, parse_grouping
from qanalysis.quantizers.scheme import Scheme

Fault = tuple[Status, str]
#: Blocks of GGUF that hold integers of free groups, by how many values a block has, and whether they have no low end.
_INTEGER_BLOCKS = {
    "gguf:q4_0": (4, True),
    "gguf:q4_1": (4, False),
    "gguf:q5_0": (5, True),
    "gguf:q5_1": (5, False),
    "gguf:q8_0": (8, True),
}
_BLOCK = "group=32"
#: What a group may take beside its codes, scale and zero point of 32 bits each; a row of packed words is padded to 4
#: bytes, and lists of groups of act-order take 4 bytes for each column; the text of a layout is below a kilobyte.
_GROUP_BYTES, _ROW_BYTES, _COLUMN_BYTES, _TEXT_BYTES = 8, 4, 4, 1024


def find_type_faults(scheme: Scheme, part: Part) -> Iterator[Fault]:
    """What of the tensor's layout is not as the scheme says, as far as the file tells; nothing for what it leaves open.

    Scales of another type than planned are no fault: back ends choose it, and the bytes tell.
    """
    info = part.info
    wanted, found = str(scheme.format), read_stored(info)
    if _is_plain(info):
        if wanted not in (info.dtype, found.format):
            yield "ignored", f"{scheme} is planned, the file has plain {info.dtype}"
        return
    if found.bits is not None and found.bits != scheme.format.bits:
        yield "bits", f"{scheme.format.bits} bits are planned, the file has {info.stored}"
    grouping, symmetric = found.grouping, found.symmetric
    if scheme.format.is_integer and found.format in _INTEGER_BLOCKS:
        grouping, symmetric = _BLOCK, _INTEGER_BLOCKS[found.format][1]
    elif found.bits == scheme.format.bits and found.format and not _is_same_format(wanted, found):
        yield "format", f"{wanted} is planned, the file has {info.stored}"
        return
    if grouping and not _is_same_grouping(str(scheme.grouping), grouping, info):
        yield "grouping", f"{scheme.grouping} is planned, the file has {grouping} ({info.stored})"
    if scheme.format.is_integer and symmetric is not None and symmetric != scheme.symmetry.signed:
        words = ("zero points", "none") if not scheme.symmetry.signed else ("no zero points", "some")
        yield "symmetry", f"{words[0]} are planned, the file has {words[1]} ({info.stored})"


def find_size_fault(scheme: Scheme, part: Part, *, planned: int) -> Iterator[Fault]:
    """Whether the tensor's bytes are such as no file with these codes and groups has: fewer than the codes alone, or
    more than the widest scales, zero points and paddings of any layout come to.
    """
    info, size = part.info, find_size(part)
    rows, columns = part.sizes
    codes = -(-rows * columns * scheme.format.bits // 8)
    groups = _lay_out(str(scheme.grouping), info)
    count = groups.groups if groups else rows
    spare = 0 if not scheme.format.is_scaled else count * _GROUP_BYTES + rows * _ROW_BYTES + columns * _COLUMN_BYTES
    most = max(codes, planned) + spare + _TEXT_BYTES * scheme.format.is_scaled
    if size < min(codes, planned):
        yield "bytes", f"{size:,} bytes are fewer than its {rows * columns:,} codes of {scheme.format.bits} bits take"
    elif size > most:
        yield "bytes", f"{size:,} bytes, {planned:,} are planned and {most:,} the most that its groups explain"


def find_kept_faults(info: TensorInfo, dtype: str) -> Iterator[Fault]:
    """Whether a tensor that the plan keeps in `dtype` ("" where that is not known) is quantized in the file."""
    if not _is_plain(info):
        yield "quantized", f"the plan keeps it as it is, the file has {info.stored}"
    elif info.dtype != dtype and read_stored(info).bits is not None and (read_stored(info).bits or 0) < 16:
        yield "quantized", f"the plan keeps it as it is, the file has {info.dtype}"
    elif info.dtype != dtype and "int" in info.dtype and dtype:
        yield "quantized", f"the plan keeps {dtype}, the file has {info.dtype}"


def find_size(part: Part) -> int:
    """Bytes of a tensor, or of its share of the whole that it is a part of."""
    whole, _ = find_sizes(part.info)
    return part.info.size_bytes if part.rows is None else part.info.size_bytes * part.rows.count // max(whole, 1)


def describe_layout(info: TensorInfo) -> str:
    """The layout of packed values, else the number type."""
    return info.stored or info.dtype


def _is_plain(info: TensorInfo) -> bool:
    return not info.stored


def _is_same_format(wanted: str, found: StoredFormat) -> bool:
    """GGUF stores formats of others under its own prefix; a scheme says one-level of nvfp4 apart."""
    names = {name.removeprefix("gguf:").partition(":")[0] for name in (wanted, found.format)}
    return len(names) == 1


def _is_same_grouping(planned: str, found: str, info: TensorInfo) -> bool:
    """Whether two groupings lay the same blocks on a tensor: a group as long as the row is a channel."""
    one, other = _lay_out(planned, info), _lay_out(found, info)
    if one is None or other is None:
        return planned == found
    return (one.block_rows, one.block_columns) == (other.block_rows, other.block_columns)


def _lay_out(word: str, info: TensorInfo) -> Layout | None:
    """The blocks of a grouping; None where they can not be laid on this shape."""
    try:
        return parse_grouping(word).lay_out(info.shape, axis=info.view)
    except ValueError:
        return None
