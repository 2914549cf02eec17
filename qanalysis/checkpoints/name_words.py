"""Which words of a tensor's name tell what it is for? One table, asked in its order, over the last two parts of a name.

Parts are split at dots and slashes, in lower case, with every run of digits written "#": "h.0.ln_1.weight" ends in
("ln_#", "weight").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from qanalysis.checkpoints.source import Role

_LONGEST_PART = 80  # words of interest are short, and a hostile name must not fill the cache
_LONGEST_HALF = 200  # of a name: what lies further from both its ends tells nothing
_ANY = re.compile(r".*", re.DOTALL)
_GAIN = r"weight|bias|scale|offset|gamma|beta|g|b|w|kernel|weight_#|bias_#|a_#|b_#|lambda#"
_TABLE = r"weight|w|kernel|weight_orig|original"


class Word(NamedTuple):
    """One line of the table: a name whose `last` part, and the `module` part before it, match whole has the `role`, if
    it has `least` to `most` axes longer than 1.
    """

    role: Role
    last: re.Pattern[str]
    module: re.Pattern[str] = _ANY
    least: int = 0
    most: int = 64


def _compile(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words), re.DOTALL)


_MOMENTS = _compile(
    r"exp_avg(_[a-z_]+)?|exp_inf|max_exp_avg(_sq)?s?|momentum_buffer|square_avg|grad_avg|acc_delta|mu_product",
    r"(row|col)_var|fp#_flat_groups|single_partition_of_fp#_groups|base_optimizer_state|fp#_from_fp#_params",
    r".+_(momentum|velocity)|adam(_[mv#])?|adam_#|momentum|rmsprop(_#)?|adagrad|beta#_power",
)
_STATE_OF_ONE = _compile(r"sum|variance|step|step_size|prev|ax|eta|mu|state#|absmax#|qmap#|max#")
_STATISTICS = _compile(
    r"running_.+|moving_(mean|variance)|num_batches_tracked|num_updates|n_averaged|(.+_)?(mean|std|var|variance)|stdev",
    r"cluster_(size|usage)|embed_(avg|sum)|initialized|.*inv_?std|n(um)?_points_scale|(query|key|diagonal)_decay|slope_rate|ema_(w|dw|cluster_size|count|weight)|_ema_.+|init+ed|queue|queue_ptr|relative_coords_table",
)
_POSITIONS = _compile(
    r"position_ids|token_type_ids|.*inv_freq|freqs?_cis.*|(cos|sin)(_cached?)?|(.+_)?rope_(freqs|factors).*|pe",
    r"relative_position_index|.+_(index|idxs|indices)|anchors?|anchor_(grid|points)|strides?|slopes|alibi.*",
    r"attn_bias|(.+_)?mask|masked_bias|tril|bias_mask",
)
_SIGNALS = _compile(
    r"((hann|hamming|stft|fft|analysis|synthesis)_)?window|(.+_)?mel_(filters?|basis|fb|weights?|scale)|fb|filter_?banks?|melspec_layer"
)
_SCHEDULES = _compile(
    r"(.+_)?betas|alphas(_cumprod.*)?|alphas_bar.*|sqrt_.+|log_one_minus_.+|posterior_.+|(log_)?sigmas|log_snr",
    r"lvlb_weights|p#_loss_weight|ddim_.+|c_(skip|out|in)s?",
)
#: Parts of packed weights and of quantizers; these words mean nothing else.
_SCALES = _compile(
    r"qzeros|qscales|scales(_#)?|g_idx|weight_g_idx|scb|cb|(nested_)?absmax|(nested_)?quant_map|quant_state.*",
    r".*bitsandbytes__.+|weight_scale.*|weight_zero.*|weight_global_scale|weight_shape|weight_scaling_factor|(weight|input|output)_amax|_?amax",
    r".*global_scale|(input|output|activation|act|pre_quant|smooth)_scales?(_#)?|pre_quant_scale|.*zero_points?|zeros?",
    r"(min|max)_vals?|scale_inv|.+_scale_inv|.+_amax|_(scale|shift|zero_point)|.+\._(scale|shift)|(prob|[kqv])_output_scale",
    r"[kv]_scale|[su][vu]h|q_(scale|scale_max|group_map|groups|invperm|perm)|input_smoother|lut|fake_quant_enabled",
    r"observer_enabled|quant_(scale|min|max)|(in|out)put_(min|max)|nbits|.+_qscale|.*_proj_scales?",
)
_TOKENS = _compile(
    r".*(pos|position|positional|token|time|class|query|patch)_emb(ed)?(ding)?s?|embed(ding)?s?|codebooks?|.*_codebook",
    r"(cls|class|dist|distill|distillation|mask|query|register|reg|mem|sep|pad|bos|eos)_(tokens?|emb|embd|embed)",
    r".*_embed|rel_pos_[hwt]|.+_embeddings?|.+_embd|absolute_pos_embed.*|pos_embed(_.+)?",
)
_LOOKED_UP = _compile(
    r"(.*_)?(emb|embs|embd|embds|embed|embeds|embedding|embeddings)(_?#|_(tokens?|positions?|in|table|layer|weights?))?",
    r"(.*_)?embed_(tokens?|positions?)_.+|wte|wpe|wtt|tok_embeddings|token_embd.*|token_types|.*position_embd|_?codebooks?",
    r"(.*_)?tokens?|(.*_)?relative_(attention|position)_bias|attn_rel_b|rel_pos_bias|embedder|(.*_)?embeddings_.+|[a-z]+embedding",
)
_NORMS = _compile(r".*norms?_?#?|.*_norm_[a-z]{1,5}#?|norm_[a-z]{1,5}#?|bn_?#?|gn_?#?|(.+_)?ln(_?#|_[a-z]{1,6})?")
_LOOSE_NORMS = _compile(r".*norm.*|.*_bn_?#?|.*_bn_.*|bn.*|.*batchnorm.*|ls_?#?|(.+_)?layer_?scale_?#?")
_HEADS = _compile(
    r"(.*_)?head_?#?|heads|output|output_layer|output_projection|classifier|embed_out|decoder|score|logits|proj_out|cls",
    r"unembed.*|predictions|(.*_)?logits(_dense)?|fc|fc_out|out_proj",
)
_FAKE = _compile(r".*(fake_quant|quantizer|activation_post_process|observer).*")

WORDS: tuple[Word, ...] = (
    Word("optimizer", _MOMENTS),
    Word("scale", _SCALES),
    Word("scale", _compile(r"scale|alpha|beta|eps|.*zero_point|.*amax|min_val|max_val|offset"), _FAKE),
    Word("buffer", _STATISTICS),
    Word("buffer", _POSITIONS),
    Word("buffer", _SIGNALS),
    Word("buffer", _SCHEDULES),
    Word("buffer", _ANY, _compile(r"(.*_)?rotary(_pos)?(_emb)?(edding)?|rope(_freqs|_factors.*)?")),
    Word("buffer", _compile(r"shift|scale"), _compile(r"scaling_layer")),
    Word("buffer", _compile(r"bias"), _compile(r"(.+_)?attn|(.+_)?attention"), least=2),
    Word("buffer", _compile(r"weight_[uv]|_[uv]|u#?"), most=1),
    Word("weight", _compile(r"dt_bias|a_log|d|logit_scale|sinks?|temperature|lora_[ab#].*")),
    Word(
        "weight", _compile(_TABLE), _compile(r".*patch.*|.*embed(ding)?_(proj|conv|linear|hidden).*|embed_out"), least=2
    ),
    Word("norm", _compile(r"gamma(_?#)?|beta(_?#)?|(.+_)?layer_?scale(_?#)?|ls_?#|.*layernorm#?")),
    Word("norm", _compile(_GAIN), _NORMS),
    Word("norm", _compile(_GAIN), _LOOSE_NORMS, most=1),
    Word("norm", _compile(r".*_norm#?|norm#?|ln_?#?"), most=1),
    Word("embedding", _compile(r".*"), _compile(r"_?codebook"), least=2),
    Word("embedding", _compile(r".*"), _compile(r"(.*_)?embeddings_table"), least=2),
    Word("embedding", _compile(r".*relative_position_bias_table|relative_attention_bias|.*embedding_table")),
    Word("bias", _compile(r"bias|(.+_)?bias#?|bias_.+|.+_bias_[a-z]+|biases|.+_biases|.+\.bias")),
    Word("bias", _compile(r"b#?|b_.+|.+_b"), most=1),
    Word("embedding", _TOKENS, most=3),
    Word("embedding", _compile(_TABLE), _LOOKED_UP, most=2),
    Word("embedding", _compile(r"embeddings?|emb"), _LOOKED_UP, most=3),
    Word("weight", _compile(_TABLE), _HEADS, least=2),
)
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "_module"}
_REPEATED = re.compile(r" \(\d{1,9}\)$")
_DIGITS = re.compile(r"[0-9]+")


@lru_cache(maxsize=1 << 16)
def _plain_part(part: str) -> str:
    return _DIGITS.sub("#", part.lower())


def split_name(name: str) -> list[str]:
    """Parts of a name in its own spelling, without the words that wrappers of modules add, the ":0" of TensorFlow's
    variables, and the " (2)" that tells a repeated name apart. The middle of a very long name is left out.

    >>> split_name("module._orig_mod.dense/kernel:0")
    ['module', 'dense', 'kernel']
    """
    if len(name) > 2 * _LONGEST_HALF:
        name = f"{name[:_LONGEST_HALF]}.{name[-_LONGEST_HALF:]}"
    if name.endswith(")"):
        name = _REPEATED.sub("", name)
    parts = name.removesuffix(":0").replace("/", ".").split(".")
    if "_mod" in name:
        parts = [part for part in parts if part not in _WRAPPERS] or parts
    return parts


def name_ending(parts: list[str]) -> tuple[str, str]:
    """The module's part and the last part, as the table spells them; for a numbered one of several norms, "norms".

    >>> name_ending(["h", "0", "ln_1", "weight"]), name_ending(["W"]), name_ending(["norms", "0", "bias"])
    (('ln_#', 'weight'), ('', 'w'), ('norms', 'bias'))
    """
    module = _plain_part(parts[-2][-_LONGEST_PART:]) if len(parts) > 1 else ""
    if module == "#" and len(parts) > 2 and parts[-3].lower().endswith("norms"):
        module = "norms"
    return module, _plain_part(parts[-1][-_LONGEST_PART:])


@lru_cache(maxsize=1 << 14)
def match_words(module: str, last: str) -> tuple[Word, ...]:
    """Lines of the table that fit these parts, in its order."""
    return tuple(word for word in WORDS if word.last.fullmatch(last) and word.module.fullmatch(module))


def find_word(module: str, last: str, axes: int) -> Role | None:
    """The role that the words of a name tell for a tensor with so many axes longer than 1; None where they tell none.

    >>> find_word("ln_#", "weight", 1), find_word("attn", "bias", 2), find_word("c_attn", "bias", 1)
    ('norm', 'buffer', 'bias')
    """
    return next((word.role for word in match_words(module, last) if word.least <= axes <= word.most), None)


def is_state_of_one(parts: list[str]) -> bool:
    """Whether the name ends as torch's optimizers write it: "state.N.sum"."""
    if len(parts) < 3 or parts[-3].lower() != "state" or not parts[-2].isdecimal():
        return False
    return bool(_STATE_OF_ONE.fullmatch(name_ending(parts)[1]))
