"""Is what a person wrote down read as meant, written back equal, and refused in one sentence where it can not be?"""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.training.compression import MagnitudePruning, RunPruning
from qanalysis.training.configuration import WORDS, Configuration, Experiment
from qanalysis.training.distillation import Distillation
from qanalysis.training.recipe import Recipe
from qanalysis.training.rungs import Rungs
from qanalysis.training.state import KINDS

WRITTEN = """
# what is trained
model = "sample:digits-mlp"
data = "sample"
[defaults]
steps = 200
weight = "int4 channel"
[[configuration]]
name = "counts, 4 bits"
weight = "int4 channel + minmax + policy bands=0.1:0.8"
input = "int4 asym + counts first=0.7 second=0.8"
pruning = "magnitude sparsity=0.5"
distillation = "distillation temperature=4 share=0.6"
[[configuration]]
name = "shared"
rate = 1
[[configuration]]
name = "float"
weight = ""
"""

RECIPES = {
    "input": ["int4 asym + counts", "int8 + ema momentum=0.5", "int4 + lsq", "mxfp8_e4m3"],
    "weight": ["int4 channel + minmax + ewgs", "int8 + up-step exponent=source + down", "nvfp4", "binary channel"],
    "output": ["int8", "int4 asym + pact"],
}
GRADIENT_RECIPES = ["int8 + minmax + width-growth", "int16 + average", "fp8_e5m2"]

names = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1).filter(
    lambda text: text.strip() and text.isprintable()
)


@st.composite
def configurations(draw, name):
    offered = {kind: RECIPES.get(kind, GRADIENT_RECIPES) for kind in KINDS}
    recipes = {kind: draw(st.sampled_from([None, *texts])) for kind, texts in offered.items()}
    optimizer = draw(st.sampled_from(["sgd", "adam"]))
    learning = draw(st.sampled_from(["", "online", "batch", "incremental"]))
    beside = {"pruning": None, "distillation": None, "start": "trained"}
    if not learning:
        beside = {
            "pruning": draw(st.sampled_from([None, MagnitudePruning(0.25), RunPruning(1, 4)])),
            "distillation": draw(st.sampled_from([None, Distillation(), Distillation(2.0, 0.5)])),
            "start": draw(st.sampled_from(["trained", "random"])),
        }
    return Configuration(
        name=name,
        recipes={kind: Recipe.parse(text) for kind, text in recipes.items() if text},
        steps=draw(st.integers(1, 1_000_000)),
        seed=draw(st.integers(0, 2**31 - 1)),
        optimizer=optimizer,
        rate=draw(st.floats(0, 10, exclude_min=True)),
        momentum=draw(st.floats(0, 0.99)) if optimizer == "sgd" else 0.0,
        layers=draw(st.sampled_from(["", "fc1|fc2", r"^layers\.\d+$", 'say "x"\\t'])),
        learning=learning,
        **beside,
    )


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(names, min_size=1, max_size=3, unique=True))
def test_what_is_written_reads_back_equal(data, given_names):
    written = Experiment(
        data.draw(names), data.draw(st.none() | names), tuple(data.draw(configurations(one)) for one in given_names)
    )
    assert Experiment.from_toml(written.to_toml()) == written


def test_a_file_is_read_as_meant():
    first, second, third = Experiment.from_toml(WRITTEN).configurations
    assert (first.name, first.steps, first.batch) == ("counts, 4 bits", 200, 64)
    assert str(first.recipes["input"]) == "int4 asym + counts first=0.7"
    assert first.pruning == MagnitudePruning(0.5)
    assert first.distillation == Distillation(4.0, 0.6)
    assert list(first.recipes) == ["input", "weight"], "in the order of KINDS"
    assert second.recipes["weight"] == Recipe.parse("int4 channel")
    assert (second.rate, type(second.rate)) == (1.0, float)
    assert third.is_float
    assert not second.is_float


def test_defaults_are_those_of_the_contract():
    plain = Configuration(name="a")
    assert (plain.steps, plain.batch, plain.seed, plain.optimizer, plain.rate) == (300, 64, 0, "sgd", 0.01)
    assert (plain.record_every, plain.evaluate_every, plain.calibration, plain.start) == (1, 20, 4, "trained")
    assert plain.to_words() == {"name": "a"}


def test_rungs_lead_to_the_weights_width():
    rising = Configuration.from_words({"name": "a", "weight": "int4 channel", "rungs": "rungs steps=50"})
    assert rising.target_bits == 4
    assert rising.rungs == Rungs(steps=50)
    assert Configuration.from_words({"name": "a", "weight": "int4"}).target_bits is None


def test_configurations_can_be_keys():
    one = Configuration.from_words({"name": "a", "weight": "int4"})
    assert {one: 1}[Configuration.from_words({"name": "a", "weight": "int4 tensor"})] == 1


def test_every_key_of_a_configuration_is_read():
    assert set(WORDS) == {*KINDS, *Configuration.__dataclass_fields__} - {"recipes"}


def with_line(*lines):
    return "\n".join(['model = "sample:digits-mlp"', "[[configuration]]", 'name = "b"', *lines])


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        pytest.param(["step = 3"], r"key 'step' is unknown; did you mean steps\?", id="near miss"),
        pytest.param(["colour = 3"], "key 'colour' is unknown; keys are name, input, output", id="unknown key"),
        pytest.param(["input_gradient = 'int8'"], r"did you mean input-gradient\?", id="underscore in a kind"),
        pytest.param(["steps = 0"], "steps = 0 must lie from 1 .* by default 300", id="no steps"),
        pytest.param(["steps = 3.5"], "steps = 3.5 must be a whole number; write for example", id="half a step"),
        pytest.param(["steps = true"], "steps = True must be a whole number", id="steps of a truth"),
        pytest.param(["rate = 0"], "rate = 0.0 must lie between 0 and 1e.30; by default 0.01", id="rate of zero"),
        pytest.param(["rate = -1.5"], "rate = -1.5 must lie between 0", id="rate below zero"),
        pytest.param(["rate = 1e308"], "rate = 1e.308 must lie between 0 and 1e.30", id="rate beyond float32"),
        pytest.param(
            ["weight_decay = 1e39"], "weight_decay = 1e.39 must lie from 0 to 1e.30", id="decay beyond float32"
        ),
        pytest.param(["rate = nan"], "rate = nan must be a finite number", id="rate of nan"),
        pytest.param(["rate = inf"], "rate = inf must be a finite number", id="infinite rate"),
        pytest.param(["rate = '0.1'"], "rate = '0.1' must be a number; write for example", id="rate in quotes"),
        pytest.param(["momentum = 1"], "momentum = 1.0 must lie from 0 to", id="momentum of one"),
        pytest.param(["seed = -1"], "seed = -1 must lie from 0", id="seed below zero"),
        pytest.param(["batch = 0"], "batch = 0 must lie from 1", id="empty batch"),
        pytest.param(["calibration = 0"], "calibration = 0 must lie from 1", id="empty calibration"),
        pytest.param(["optimizer = 'Adam'"], "optimizer = 'Adam' must be one of sgd, adam", id="optimizer"),
        pytest.param(["optimizer = 'adam'", "momentum = 0.9"], "momentum = 0.9 belongs to sgd", id="momentum of adam"),
        pytest.param(["start = 'cold'"], "start = 'cold' must be one of trained, random", id="start"),
        pytest.param(["learning = 'later'"], "learning = 'later' must be one of", id="learning"),
        pytest.param(["layers = '('"], r"layers = '\(' is not a regular expression", id="pattern"),
        pytest.param(["weight = 4"], 'weight = 4 must be a text in quotes; write for example weight = "int4', id="4"),
        pytest.param(["weight = 'int99'"], "weight: format 'int99'", id="unknown format"),
        pytest.param(["input = 'int8 + dampening'"], "input: dampening corrects the gradient of weight", id="kind"),
        pytest.param(["weight-gradient = 'int8 + lsq'"], "weight-gradient: lsq learns by gradient", id="learned kind"),
        pytest.param(["weight = 'asym int4 + up-step'"], "weight: .*leave asym out", id="parts that exclude"),
        pytest.param(["pruning = 'n:m n=5'"], "pruning: n:m: n=5 of m=4", id="pruning"),
        pytest.param(["pruning = 'half'"], "pruning: pruning 'half' is unknown; there are magnitude", id="no pruning"),
        pytest.param(["distillation = 'distillation heat=4'"], "distillation: .*'heat=4' is unknown", id="teacher"),
        pytest.param(["rungs = 'rungs'"], "rungs lead to the weights' bits.*give weight a recipe", id="no weights"),
        pytest.param(["rungs = 'rungs'", "weight = 'mxfp4'"], "rungs narrow integers", id="rungs of floats"),
        pytest.param(
            ["rungs = 'rungs'", "weight = 'int4 + minmax + width-growth'"], "width-growth widens them", id="both ways"
        ),
        pytest.param(["learning = 'online'", "pruning = 'n:m'"], "leave pruning out", id="learning and pruning"),
        pytest.param(
            ["learning = 'batch'", "distillation = 'distillation'"], "leave distillation out", id="learning and teacher"
        ),
        pytest.param(["learning = 'batch'", "start = 'random'"], "goes on with a trained network", id="undeployed"),
    ],
)
def test_a_mistake_names_file_configuration_and_rule(lines, told):
    with pytest.raises(ValueError, match=rf"^mine\.toml: configuration 'b': .*{told}"):
        Experiment.from_toml(with_line(*lines), place="mine.toml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", "model is missing", id="empty file"),
        pytest.param("model = 1", "model = 1 must be a text in quotes", id="model of a number"),
        pytest.param('model = " "\n[[configuration]]\nname="b"', "model is empty", id="blank model"),
        pytest.param('model = "a"', "there is no configuration", id="no configuration"),
        pytest.param('model = "a"\n[configuration]\nname = "b"', "in two brackets", id="one bracket"),
        pytest.param('model = "a"\nconfiguration = [1]', "in two brackets", id="numbers for tables"),
        pytest.param('modle = "a"', r"key 'modle' is unknown; did you mean model\?", id="near miss"),
        pytest.param('model = "a"\n[[configuration]]\nsteps = 3', "has no name", id="no name"),
        pytest.param('model = "a"\n[[configuration]]\nname = ""', "configuration '': its name must be", id="empty"),
        pytest.param('model = "a"\n[[configuration]]\nname = "a\\nb"', "its name must be one line", id="two lines"),
        pytest.param('model = "a"\n[[configuration]]\nname = 3', "name = 3 must be a text", id="name of a number"),
        pytest.param(with_line("[[configuration]]", "name = 'b'"), "'b' stands twice", id="two of one name"),
        pytest.param("defaults = 3\n" + with_line(), "defaults = 3 must be a table", id="defaults of a number"),
        pytest.param(with_line("[defaults]", "name = 'c'"), r"\[defaults\]: key 'name' is unknown", id="named"),
        pytest.param(with_line("[defaults]", "input = 'foo'"), r"\[defaults\]: input: rule 'foo'", id="bad default"),
        pytest.param("model = a", r"is not TOML: Invalid value \(at line 1, column 9\)", id="syntax"),
        pytest.param("x = " + "[" * 5000, "is nested too deeply", id="nested"),
        pytest.param("model = 1" + "0" * 5000, "is not TOML: Exceeds the limit", id="endless number"),
    ],
)
def test_a_file_that_says_nothing_of_use_is_refused(text, told):
    with pytest.raises(ValueError, match=rf"^mine\.toml: .*{told}"):
        Experiment.from_toml(text, place="mine.toml")


def test_a_rate_beyond_all_floats_is_no_traceback():
    with pytest.raises(ValueError, match="is not TOML"):
        Experiment.from_toml(with_line("rate = 1" + "0" * 5000))
    with pytest.raises(ValueError, match=r"rate = 1\.79\d*e\+308 must lie between"):
        Experiment.from_toml(with_line("rate = 1" + "0" * 400))


def test_an_unknown_kind_is_refused_in_python_too():
    with pytest.raises(ValueError, match=r"configuration 'a': kind 'weights' is unknown; did you mean weight\?"):
        Configuration(name="a", recipes={"weights": Recipe.parse("int4")})


def test_reading_a_file_loads_nothing_slow():
    code = (
        "import sys, qanalysis.training.configuration; print(*(m for m in ('torch', 'streamlit') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
