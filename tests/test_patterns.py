"""An expression means what it means to `re`, costs what is stated, and never stops other threads."""

from __future__ import annotations

import re
import threading
import time
import tracemalloc
import warnings
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.patterns import LONGEST, Pattern
from qanalysis.quantizers.scheme import Scheme

NAME = "layers.0.self_attention_projection_matrix.weight"
PIECES = (
    *"ab.w0_{},|*+?()[]^$-!1:",
    "\\.",
    "\\d",
    "\\w",
    "\\b",
    "\\{",
    "{2}",
    "{1,3}",
    "{,2}",
    "{,}",
    "(?:",
    "(?=",
    "(?!",
    "(?<=a)",
    "(?#[()",
    "(?i:",
    "[[:a]",
    "[]b]",
    "[^]a]",
    "(?P<n>a)",
    "(?P=n)",
    "{e<=2}",
    "{s}",
    "\\1",
)


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.lists(st.text("abAw0.{}e<=2s,:[", max_size=6), min_size=3, max_size=3),
)
def test_an_expression_finds_what_it_finds_for_re(text: str, names: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # `re` warns of [[:a], which both read as a plain set
        try:
            judge = re.compile(text)
        except (re.error, OverflowError):
            return
    assert Pattern.parse(text).select(names) == {name for name in names if judge.search(name)}


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("", "any", True),
        ("Q_PROJ", "q_proj", False),
        ("(?i)Q_PROJ", "q_proj", True),
        ("conv{e<=1}", "cnv", False),  # a fuzzy match to `regex`, plain letters to `re`
        ("conv{e<=1}", "conv{e<=1}", True),
        ("a{2}", "aa", True),
        ("^a{,2}$", "aaa", False),
        (r"\Afc\.1\Z", "fc.1", True),
        ("[[:alpha:]]", "x", False),
        ("a(?#c)b", "ab", True),
        (r"\N{LATIN SMALL LETTER A}", "a", True),
    ],
)
def test_hand_worked_expressions(text: str, name: str, *, found: bool) -> None:
    assert bool(Pattern.parse(text).select([name])) is found


def test_case_is_left_aside_on_request() -> None:
    assert Pattern.parse("Q_Proj", ignore_case=True).select(["q_proj", "Q_PROJ", "k"]) == {"q_proj", "Q_PROJ"}


@pytest.mark.parametrize(
    "text",
    ["(", ")", "[a", "*", "a**", r"\p{L}", "(?R)", "(?|a|b)", "(?x)a b", r"\L<names>", "a\\", "(?P<1>a)", "(?<=", "(?"],
)
def test_what_is_no_expression_is_told_with_the_way_out(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"^exclude '.*' is not a regular expression: .*; mend it, or write a backslash"
    ):
        Pattern.parse(text, "exclude")


@pytest.mark.parametrize(
    "text",
    [
        "a{4294967294}",
        f"a{{{'9' * 480}}}",
        "(?:(?:a?){9999}){9999}x",
        "(?:a|b{1000}){1000}" * 20,
        "(?:" * 160 + "a" + ")+" * 160,
        "(?:" * 190 + "a" + ")*" * 190 + ")",
        "(" * 999,
        "[a-" * 300,
        "(?:a{7}){9000}" * 70,
    ],
)
def test_hostile_repeats_are_refused_before_they_are_laid_out(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is not a regular expression") as caught:
            Pattern.parse(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 400
    assert peak < 20e6  # laid out, each of them takes gigabytes, or more memory than there is


def test_a_long_expression_is_refused_in_few_words() -> None:
    assert Pattern.parse("a" * LONGEST).select(["a" * LONGEST])
    with pytest.raises(ValueError, match=r"^include 'aaa.*…a+' has 10,000 characters, .* at most 1,000; ") as caught:
        Pattern.parse("a" * 10_000)
    assert len(str(caught.value)) < 300


# Each needs more than 2^40 steps for `re`; the first fails at once here, since the name has no "!".
ENDLESS = (r"([a-z_0-9.]+)+!", r"(?:(x)|(.)|(..)|(...))*[!?]", r"(?:(?:(?:a|b|.)+)+|..)+(?:!|\?)")


@pytest.mark.parametrize("text", ENDLESS)
def test_other_threads_go_on_while_an_endless_expression_runs_into_its_deadline(text: str) -> None:
    ticks, done = [0.0], threading.Event()

    def tick() -> None:
        while not done.wait(0.01):
            ticks.append(time.monotonic())

    ticker = threading.Thread(target=tick)
    ticks[0] = began = time.monotonic()
    ticker.start()
    try:
        with suppress(ValueError):  # a fast machine may come to the end, and finds nothing
            assert not Pattern.parse(text).select([NAME] * 3)
    finally:
        took = time.monotonic() - began
        done.set()
        ticker.join()
    # The deadline is 1 s of the processor; a busy machine gives it late. A thread that is held has no ticks at all.
    assert took < 15
    gaps = [after - before for before, after in zip(ticks, [*ticks[1:], began + took], strict=True)]
    assert max(gaps) < max(0.5, took / 2)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000,
        "int4 " + "x" * 10_000,
        "int4 group=" + "9" * 5000,
        "int4 channel=" + "9" * 5000,
        "int4 block=2x" + "9" * 5000,
        "int" + "9" * 5000,
        "int4 range=mse:" + "9" * 5000,
        "int4 range=percentile:" + "9" * 5000,
        "int4 round=stochastic:" + "9" * 5000,
        "int4 scale=" + "x" * 10_000,
    ],
    ids=lambda text: text[:20],
)
def test_a_long_scheme_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(ValueError, match="…") as caught:
        Scheme.parse(text)
    assert len(str(caught.value)) < 800
    assert "sys." not in str(caught.value)


def test_an_endless_expression_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^layers '.*' takes too long to match 2 names; write it with fewer repeats"):
        Pattern.parse(ENDLESS[1], "layers").select([NAME, "b"])


def test_a_plain_filter_over_many_names_is_fast() -> None:
    names = [f"model.layers.{i}.self_attn.q_proj.weight" for i in range(100_000)]
    assert len(Pattern.parse(r"layers\.\d*7\..*(q|k)_proj").select(names)) == 10_000


@pytest.mark.parametrize(
    ("text", "replacement"),
    [
        (r"^model\.", ""),
        (r"layers\.(\d+)", r"blk.\1"),
        (r"(?P<head>[a-z]+)\.", r"\g<head>/"),
        ("e", "EE"),
        (r"(x)?layers", r"\1blk"),
    ],
    ids=["prefix", "group", "named group", "every match", "group that is not there"],
)
def test_replacing_is_that_of_re(text: str, replacement: str) -> None:
    names = ["model.layers.12.self_attn.q_proj.weight", "head.weight", "12"]
    expected = {name: re.sub(text, replacement, name) for name in names if re.search(text, name)}
    assert Pattern.parse(text).replace(names, replacement) == expected


@pytest.mark.parametrize("replacement", [r"\3", r"\g<none>", "\\"], ids=["no such group", "no such name", "half"])
def test_a_replacement_that_is_none_is_told(replacement: str) -> None:
    with pytest.raises(ValueError, match="in place of what it finds") as caught:
        Pattern.parse("(a)(b)", "map").replace(["ab"], replacement)
    assert "\n" not in str(caught.value)
