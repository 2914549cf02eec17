"""Which packed weights are known for what they are and not decoded? Their bytes count, figures are not made.

These are asked before the layouts that share an ending of a name with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from qanalysis.checkpoints.packed.logical import keep_packed, refuse_known
from qanalysis.checkpoints.packed.parts import Packed, PackedLayout, Stem


@dataclass(frozen=True, slots=True)
class Known:
    """One quantizer: its word, why it is not decoded, and its parts.

    A stem is its own where every ending of `needs` is there, the codes first; `types` are those that the codes may
    have, `others` the endings that may be there too.
    """

    word: str
    detail: str
    needs: tuple[str, ...]
    types: tuple[str, ...]
    others: tuple[str, ...] = ()


_KNOWN = (
    Known(
        "EXL2",
        "mixed 2 to 8 bit codes",
        (".q_weight", ".q_scale"),
        ("int32",),
        (".q_scale_max", ".q_groups", ".q_perm", ".q_invperm", ".q_group_map"),
    ),
    Known(
        "EXL3",
        "trellis codes after a Hadamard transform",
        (".trellis",),
        ("int16", "uint16"),
        (".suh", ".svh", ".su", ".sv", ".mcg", ".mul1"),
    ),
    Known("AQLM", "sums of codebook vectors", (".codes", ".codebooks"), ("int8", "int16", "uint8"), (".scales",)),
    Known(
        "QuIP#",
        "lattice codes after a Hadamard transform",
        (".Qidxs", ".SU", ".SV"),
        ("int16", "int32", "int64", "uint8"),
        (".Wscale", ".codebook_id", ".fuse_scales"),
    ),
    Known(
        "VPTQ",
        "indices of centroid vectors",
        (".indices", ".centroids.weight"),
        ("int16", "int32", "int64", "uint16"),
        (
            ".res_indices",
            ".res_centroids.weight",
            ".outlier_centroids.weight",
            ".weight_scale",
            ".weight_bias",
            ".perm",
        ),
    ),
    Known(
        "VPTQ",
        "indices of centroid vectors",
        (".indices", ".centroids"),
        ("int16", "int32", "int64", "uint16"),
        (".res_indices", ".res_centroids", ".outlier_centroids", ".weight_scale", ".weight_bias", ".perm"),
    ),
    Known(
        "SpQR",
        "dense codes beside sparse outliers",
        (".dense_weights", ".row_offsets", ".col_vals"),
        ("int32", "int64", "uint32"),
        (".in_perm",),
    ),
    Known(
        "HIGGS",
        "grid codes after a Hadamard transform",
        (".weight", ".scales", ".tables"),
        ("int16", "uint8", "int8", "int32"),
        (".tables2",),
    ),
    Known(
        "fp_quant",
        "codes after a Hadamard transform",
        (".qweight", ".forward_hadamard_matrix"),
        ("uint8", "int32"),
        (
            *(".scales", ".dqweight", ".backward_hadamard_matrix"),
            *(".weight_global_scale", ".act_global_scale"),
        ),
    ),
    Known(
        "ParoQuant",
        "codes after rotations of pairs of channels",
        (".qweight", ".theta", ".pairs"),
        ("int32",),
        (".scales", ".qzeros", ".channel_scales", ".g_idx"),
    ),
    Known("EETQ", "int8 codes in the order of a kernel", (".weight", ".weight_scales"), ("int8",)),
    Known(
        "SINQ",
        "a second scale along the other axis",
        (".W_q", ".scale2"),
        ("uint8", "int32", "float32", "float16", "bfloat16"),
        (".scale", ".zero", ".nbits", ".group_size", ".axis", ".shape", ".packing"),
    ),
)


def _read_known(known: Known, stem: Stem) -> Packed | None:
    needed = tuple(stem.find(ending) for ending in known.needs)
    codes = needed[0]
    if not all(needed) or codes is None or codes.dtype not in known.types:
        return None
    parts = (*needed, *(stem.find(ending) for ending in known.others))
    word = known.word.lower()
    return keep_packed(f"{stem.stem}.weight", parts, stored=word, reason=refuse_known(known.word, known.detail))


def _read_bitnet(stem: Stem) -> Packed | None:
    """Ternary codes, four to a byte, with one scale: whether it multiplies or divides, the file does not say."""
    codes, scale = stem.find(".weight"), stem.find(".weight_scale")
    if codes is None or scale is None or codes.dtype != "uint8" or len(codes.shape) != 2 or codes.shape[1] == 1:
        return None
    if scale.info.numel != 1 or not scale.dtype.startswith(("float", "bfloat")) or stem.find(".weight_scale_2"):
        return None
    reason = refuse_known("BitNet", "ternary codes whose scale multiplies or divides by variant")
    return keep_packed(f"{stem.stem}.weight", (codes, scale), stored="bitnet", reason=reason)


LAYOUTS = (
    *(PackedLayout(known.word.lower(), known.needs, partial(_read_known, known)) for known in _KNOWN),
    PackedLayout("bitnet", (".weight", ".weight_scale"), _read_bitnet),
)
