"""Tensor types of llama.cpp, read by an interpreter of their own that does what the program's parser does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

import pytest

from qanalysis.plans.recipes.catalogue import write_recipe
from qanalysis.plans.recipes.llama_cpp import write_pattern
from qanalysis.plans.recipes.recipe import Recipe
from tests.plans.recipes.planning import make_header, make_plan

TYPES = {
    *("f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq1_s"),
    *("iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "iq4_nl", "iq4_xs", "tq1_0", "tq2_0", "mxfp4"),
    *("nvfp4", "q1_0"),
}
LLAMA = "model.layers.0."


def read_items(text: str) -> list[tuple[str, str]]:
    """Items between white space, cut at the first "=", patterns in lower case; a wrong item ends the run."""
    items = []
    for word in text.split():
        pattern, found, kind = word.partition("=")
        assert all((found, pattern, kind.lower() in TYPES)), word
        items.append((pattern.lower(), kind.lower()))
    return items


def choose_types(
    text: str, names: Mapping[str, int], *, base: str, last_wins: bool, skips_base: bool
) -> dict[str, str]:
    """What each tensor becomes; `skips_base`: a line that equals the base type is passed over, and mixes take over."""
    chosen = {}
    for name in names:
        matches = [kind for pattern, kind in read_items(text) if re.search(pattern, name)]
        kind = (matches[-1] if last_wins else matches[0]) if matches else "mix"
        chosen[name] = "mix" if skips_base and kind == base else kind
    return chosen


def find_base(recipe: Recipe) -> str:
    return shlex.split(recipe.files[1].text.splitlines()[-1])[-1]


PLAN = {
    "model.embed_tokens.weight": ((128, 64), "gguf:q8_0"),
    f"{LLAMA}self_attn.q_proj.weight": ((64, 64), "gguf:q4_0"),
    f"{LLAMA}self_attn.v_proj.weight": ((64, 64), "gguf:q5_1"),
    f"{LLAMA}mlp.down_proj.weight": ((64, 128), "bfloat16"),
    "model.layers.10.self_attn.q_proj.weight": ((64, 64), "gguf:q8_0"),
    "lm_head.weight": ((128, 64), "gguf:q5_0"),
}
WANTED = {
    "token_embd.weight": "q8_0",
    "blk.0.attn_q.weight": "q4_0",
    "blk.0.attn_v.weight": "q5_1",
    "blk.0.ffn_down.weight": "bf16",
    "blk.10.attn_q.weight": "q8_0",
    "output.weight": "q5_0",
}


@pytest.mark.parametrize("last_wins", [True, False], ids=["last line wins", "first line wins"])
@pytest.mark.parametrize("skips_base", [True, False], ids=["lines of the base type are skipped", "all lines count"])
def test_every_planned_tensor_gets_its_type_whatever_the_program_makes_of_the_order(
    last_wins: bool, skips_base: bool
) -> None:
    recipe = write_recipe(make_plan(PLAN), "llama.cpp")
    names = {**dict.fromkeys(WANTED, 0), "blk.1.attn_q.weight": 0, "blk.0.attn_qkv.weight": 0}
    chosen = choose_types(
        recipe.files[0].text, names, base=find_base(recipe), last_wins=last_wins, skips_base=skips_base
    )
    assert chosen == {**WANTED, "blk.1.attn_q.weight": "mix", "blk.0.attn_qkv.weight": "mix"}
    assert not recipe.unexpressed


def test_the_file_has_one_item_a_line_and_nothing_else() -> None:
    text = write_recipe(make_plan(PLAN), "llama.cpp").files[0].text
    assert all(re.fullmatch(r"\^\S+\$=[a-z0-9_]+", line) for line in text.splitlines())
    assert "^blk\\.0\\.attn_q\\.weight$=q4_0\n" in text
    assert len(text.splitlines()) == len(WANTED)


def test_the_command_has_the_same_items_and_the_options_of_output_and_embedding() -> None:
    table, script = write_recipe(make_plan(PLAN), "llama.cpp").files
    words = shlex.split("\n".join(script.text.splitlines()[2:]).replace("\\\n", " "))
    items = [words[at + 1] for at, word in enumerate(words) if word == "--tensor-type"]
    assert "\n".join(items) == table.text.rstrip("\n")
    assert words[words.index("--output-tensor-type") + 1] == "q5_0"
    assert words[words.index("--token-embedding-type") + 1] == "q8_0"
    assert "--pure" not in words


def test_the_base_type_is_one_that_no_line_names() -> None:
    types = ["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]
    for count in range(len(types) + 1):
        plan = make_plan(
            {f"blk.{i}.attn_q.weight": ((32, 32), f"gguf:{kind}") for i, kind in enumerate(types[:count])}
            or {"blk.0.attn_q.weight": ((32, 256), "gguf:tq2_0")}
        )
        assert find_base(write_recipe(plan, "llama.cpp")) == [*types, "iq4_nl"][count]


def test_names_of_a_gguf_file_stay() -> None:
    plan = make_plan({"strange.name.weight": ((32, 32), "gguf:q4_0")}, path="model.gguf")
    assert write_recipe(plan, "llama.cpp").files[0].text == "^strange\\.name\\.weight$=q4_0\n"


@pytest.mark.parametrize(
    "name", ["Model.Q.weight", "a=b.weight", "two words.weight", "a+b(c)[d]{2}|^$\\d.weight", "wörter.weight"]
)
def test_a_pattern_finds_its_own_name_after_it_was_lower_cased(name: str) -> None:
    pattern = write_pattern(name)
    assert pattern.lower() == pattern
    assert "=" not in pattern
    assert not re.search(r"\s", pattern)
    assert re.search(pattern, name)
    assert not re.search(pattern, f"x{name}")
    assert not re.search(pattern, f"{name}x")
    assert not re.search(pattern, name.replace(".", "x"))


def test_names_that_differ_in_capital_letters_alone_are_listed() -> None:
    plan = make_plan(
        {
            "A.B.weight": ((32, 32), "gguf:q4_0"),
            "C.B.weight": ((32, 32), "gguf:q8_0"),
            "d.weight": ((32, 32), "gguf:q8_0"),
        },
        path="m.gguf",
    )
    recipe = write_recipe(plan, "llama.cpp")
    assert recipe.files[0].text == "^d\\.weight$=q8_0\n"
    assert [one.tensor for one in recipe.unexpressed] == ["A.B.weight", "C.B.weight"]
    assert "lower-cased" in recipe.unexpressed[0].reason


def test_experts_of_one_stack_have_one_type() -> None:
    same = {f"{LLAMA}mlp.experts.{i}.up_proj.weight": ((64, 64), "gguf:q4_0") for i in range(3)}
    recipe = write_recipe(make_plan(same), "llama.cpp")
    assert recipe.files[0].text == "^blk\\.0\\.ffn_up_exps\\.weight$=q4_0\n"
    assert not recipe.unexpressed
    mixed = {**same, f"{LLAMA}mlp.experts.1.up_proj.weight": ((64, 64), "gguf:q8_0")}
    recipe = write_recipe(make_plan(mixed), "llama.cpp")
    assert recipe.files[0].text == "^blk\\.0\\.ffn_up_exps\\.weight$=q8_0\n"
    assert [one.tensor for one in recipe.unexpressed] == [f"{LLAMA}mlp.experts.{i}.up_proj.weight" for i in (0, 2)]
    assert "--tie llama.cpp" in recipe.unexpressed[0].reason
    assert "q8_0" in recipe.unexpressed[0].instead


def test_gate_and_up_in_one_weight_are_named_together_and_apart() -> None:
    plan = make_plan({f"{LLAMA}mlp.experts.gate_up_proj": ((4, 128, 64), "gguf:q4_0")})
    names = [pattern for pattern, _kind in read_items(write_recipe(plan, "llama.cpp").files[0].text)]
    assert names == [f"^blk\\.0\\.ffn_{part}_exps\\.weight$" for part in ("gate_up", "gate", "up")]


@pytest.mark.parametrize(
    ("scheme", "columns", "found", "instead"),
    [
        ("gguf:q8_0", 48, "f16", "end the run"),
        ("gguf:tq1_0", 128, "q4_0", "fall back"),
        ("gguf:tq2_0", 100, "f16", "fall back"),
        ("nvfp4", 48, "f16", "end the run"),
    ],
)
def test_rows_that_the_block_does_not_divide_are_listed(scheme: str, columns: int, found: str, instead: str) -> None:
    recipe = write_recipe(make_plan({"blk.0.attn_q.weight": ((64, columns), scheme)}), "llama.cpp")
    assert read_items(recipe.files[0].text) == [("^blk\\.0\\.attn_q\\.weight$", found)]
    (one,) = recipe.unexpressed
    assert f"rows of {columns} values are not divisible" in one.reason
    assert found in one.instead
    assert instead in one.instead


def test_rows_follow_the_view_that_the_header_tells() -> None:
    line = make_header("h.0.attn.c_attn.weight", "64x48", view="1")
    plan = make_plan({"h.0.attn.c_attn.weight": ((64, 48), "gguf:q8_0")}, tensors=[line])
    assert not write_recipe(plan, "llama.cpp").unexpressed


def test_tensors_without_a_name_in_gguf_are_listed() -> None:
    recipe = write_recipe(make_plan({**PLAN, "adapter.mystery": ((64, 64), "gguf:q4_0")}), "llama.cpp")
    assert [(one.tensor, one.reason) for one in recipe.unexpressed] == [("adapter.mystery", "it has no name in GGUF")]


def test_tensors_that_the_program_always_copies_are_listed() -> None:
    plan = make_plan(
        {"blk.0.ffn_gate_inp.weight": ((8, 64), "gguf:q8_0"), "blk.0.attn_q.weight": ((64, 64), "gguf:q8_0")}
    )
    recipe = write_recipe(plan, "llama.cpp")
    assert recipe.files[0].text == "^blk\\.0\\.attn_q\\.weight$=q8_0\n"
    assert [one.tensor for one in recipe.unexpressed] == ["blk.0.ffn_gate_inp.weight"]


def test_matrices_kept_float_have_lines_of_their_type_and_vectors_none() -> None:
    tensors = [
        make_header(f"{LLAMA}self_attn.k_proj.weight", "64x64", dtype="bfloat16"),
        make_header(f"{LLAMA}self_attn.q_proj.bias", "64"),
        make_header("model.norm.weight", "64"),
    ]
    kept = {line["tensor"]: 1 for line in tensors}
    recipe = write_recipe(make_plan(PLAN, kept=kept, tensors=tensors), "llama.cpp")
    added = {*read_items(recipe.files[0].text)} - {
        *read_items(write_recipe(make_plan(PLAN), "llama.cpp").files[0].text)
    }
    assert added == {("^blk\\.0\\.attn_k\\.weight$", "bf16")}
    guessed = write_recipe(make_plan(PLAN, kept=kept), "llama.cpp")
    assert ("^blk\\.0\\.attn_k\\.weight$", "f32") in read_items(guessed.files[0].text)
    assert any("does not tell the types of 1 tensor" in note for note in guessed.notes)


def test_the_option_for_embeddings_is_left_out_where_it_would_hit_another_tensor() -> None:
    plan = make_plan(
        {"token_embd.weight": ((64, 64), "gguf:q8_0"), "per_layer_token_embd.weight": ((64, 64), "gguf:q4_0")}
    )
    recipe = write_recipe(plan, "llama.cpp")
    assert "--token-embedding-type" not in recipe.files[1].text
    assert "^token_embd\\.weight$=q8_0" in recipe.files[0].text


def test_formats_of_other_back_ends_are_refused_and_listed_with_partial() -> None:
    plan = make_plan({**PLAN, f"{LLAMA}self_attn.k_proj.weight": ((64, 64), "int4 group=32")})
    with pytest.raises(
        ValueError, match=r"target llama\.cpp: has no format int4, which the plan gives to model\.layers\.0\.self"
    ):
        write_recipe(plan, "llama.cpp")
    recipe = write_recipe(plan, "llama.cpp", partial=True)
    assert [(one.tensor, one.scheme) for one in recipe.unexpressed] == [
        (f"{LLAMA}self_attn.k_proj.weight", "int4 group=32")
    ]
    assert len(read_items(recipe.files[0].text)) == len(PLAN)


def test_two_level_nvfp4_is_told_to_be_another_grid() -> None:
    notes = write_recipe(make_plan({"blk.0.attn_q.weight": ((64, 64), "nvfp4")}), "llama.cpp").notes
    assert any("nvfp4:one-level" in note for note in notes)


def test_a_tied_output_has_the_line_of_its_embedding() -> None:
    line = make_header("model.embed_tokens.weight", "128x64", aliases=["lm_head.weight"])
    recipe = write_recipe(
        make_plan({"model.embed_tokens.weight": ((128, 64), "gguf:q8_0")}, tensors=[line]), "llama.cpp"
    )
    assert recipe.files[0].text == "^token_embd\\.weight$=q8_0\n^output\\.weight$=q8_0\n"


def test_vectors_are_listed_since_the_program_never_quantizes_them() -> None:
    recipe = write_recipe(make_plan({"blk.0.ssm_a.weight": ((64,), "gguf:q8_0")}), "llama.cpp")
    assert (recipe.files[0].text, len(recipe.unexpressed)) == ("", 1)


def test_packed_tensors_of_a_file_that_is_quantized_already_stay_as_they_are() -> None:
    kept = {"blk.0.attn_k.weight": 1, "blk.0.attn_v.weight": 1}
    tensors = [make_header(name, "64x256", dtype=dtype) for name, dtype in zip(kept, ("iq4_nl", "q6_k"), strict=True)]
    planned = {
        f"blk.{n}.ffn_up.weight": ((64, 256), f"gguf:{kind}")
        for n, kind in enumerate(["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"])
    }
    plan = make_plan(planned, kept=kept, tensors=tensors, path="m.gguf", stored="gguf:iq4_nl 1, gguf:q6_k 1")
    recipe = write_recipe(plan, "llama.cpp")
    assert read_items(recipe.files[0].text)[-2:] == [
        ("^blk\\.0\\.attn_k\\.weight$", "iq4_nl"),
        ("^blk\\.0\\.attn_v\\.weight$", "q6_k"),
    ]
    assert find_base(recipe) == "q5_k"
    assert any("--allow-requantize" in note for note in recipe.notes)
