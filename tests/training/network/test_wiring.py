"""How quantizers get into models: the six kinds of data on y = w x, one layer among others, and layers of every sort."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.data import Data
from qanalysis.training.network.run import Run
from qanalysis.training.network.site import Clock, Site
from qanalysis.training.network.wiring import Wired, list_layers, wire
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import KINDS, KindOfData
from tests.training.small_models import make_data, make_mlp, rows_of, run_small


class Product(nn.Module):
    """y = w x as a layer of one weight behind another one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Linear(1, 1, bias=False) for _ in range(2))
        with torch.no_grad():
            self.first.weight.fill_(1)
            self.second.weight.fill_(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def recipes_of(**texts: str) -> dict[KindOfData, Recipe]:
    return {kind: Recipe.parse(texts[kind.replace("-", "_")]) for kind in KINDS if kind.replace("-", "_") in texts}


def find_site(wired: Wired, layer: str, kind: str) -> Site:
    return next(site for site in wired.sites if (site.layer, site.kind) == (layer, kind))


def observe_product(**texts: str) -> Wired:
    """L = y^2/2 at x = 3, w = 2."""
    model, clock = Product(), Clock(records=True)
    wired = wire(model, recipes_of(**texts), clock)
    (model(torch.tensor([[3.0]])) ** 2 / 2).sum().backward()
    return wired


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quantized", [False, True])
def test_each_of_the_six_kinds_is_seen_as_it_is(kind: KindOfData, *, quantized: bool) -> None:
    """row-18 A = 3, row-19 B = 6, row-20 W = 2, row-21 dA = 12, row-22 dB = 6, row-23 dW = 18."""
    expected = {
        "input": 3, "output": 6, "weight": 2, "input-gradient": 12, "output-gradient": 6, "weight-gradient": 18,
    }  # fmt: skip
    texts = dict.fromkeys((one.replace("-", "_") for one in KINDS), "int8") if quantized else {}
    seen = find_site(observe_product(**texts), "second", kind).seen
    assert seen is not None
    # Of int8 the largest magnitude is a level: within a last bit or two of float32.
    assert seen.high[0] == pytest.approx(expected[kind], rel=1e-6)


def test_row_21_the_gradient_of_the_first_layer_s_input_is_not_available() -> None:
    assert find_site(observe_product(), "first", "input-gradient").seen is None
    run = run_small(input_gradient="int8", weight="int8")
    assert not rows_of(run, "0", "input-gradient")
    assert rows_of(run, "2", "input-gradient")


def test_row_16_one_layer_is_chosen_and_the_others_are_bit_identical() -> None:
    run = run_small(layers="^2$", weight="int2", steps=1)
    plain = make_mlp()
    assert [site.layer for site in run.wired.sites] == ["2"] * 6
    x = make_data().inputs
    with torch.no_grad():
        run.clock.adapts = False
        assert isinstance(run.model, nn.Sequential)
        assert isinstance(plain, nn.Sequential)
        run.model[0].load_state_dict(plain[0].state_dict())
        hidden = run.model[:2](x)
        assert torch.equal(hidden, plain[:2](x))
        assert len(run.model[2].weight.unique()) <= 3
        assert len(plain[2].weight.unique()) == 64


def test_layers_are_found_by_any_part_of_their_name() -> None:
    model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "head": nn.Linear(2, 2), "norm": nn.LayerNorm(2)})
    assert [layer for layer, _module, _name in list_layers(model)] == ["encoder", "head"]
    assert [layer for layer, _module, _name in list_layers(model, "^h")] == ["head"]


def test_a_pattern_that_finds_nothing_names_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"layers 'fc9' finds no layer .*there are 0, 2"):
        wire(make_mlp(), {}, Clock(), pattern="fc9")
    with pytest.raises(ValueError, match="there are none"):
        wire(nn.BatchNorm1d(4), {}, Clock())


def test_a_layer_whose_columns_do_not_fit_a_block_is_named_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"0 weight: gguf:q4_0 .*16.*leave the layer out or choose another format"):
        run_small(weight="gguf:q4_0")


def take_steps(load: Callable[[], nn.Module], data: Data | None = None, **words: Any) -> Run:
    everything = {
        "weight": "int6 channel + ewgs",
        "input": "int8 + ema + ewgs",
        "output": "int8 + ema + ewgs",
        "weight_gradient": "int8",
        "input_gradient": "int8",
        "output_gradient": "int8",
    }
    run = run_small(load, data, **(words or everything))
    assert run.skipped == 0
    assert all(torch.isfinite(one).all() for one in run.model.parameters())
    return run


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(torch.relu(self.body(x)))))


class WritesInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x)
        hidden += 1
        return self.head(hidden.relu_())


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend, self.head = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attend(x, x, x)[0].mean(1))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.read, self.head = kind(4, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.read(x)[0][:, -1])


class InAnotherType(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype = make_mlp().to(dtype), dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.to(self.dtype))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.body, self.head = nn.Embedding(8, 16), nn.Linear(16, 16), nn.Linear(16, 8, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(self.embed(x))))


def in_place_module() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(inplace=True), nn.Linear(16, 4))


def in_sequences(x: Tensor) -> Tensor:
    return x.reshape(-1, 4, 4)


def in_one_sequence(x: Tensor) -> Tensor:
    return x.reshape(-1, 1, 16)


def as_tokens(data: Data) -> Data:
    """Whether each of five numbers is above 0, and the next one."""
    marks, held = (data.inputs > 0).long(), (data.held_out_inputs > 0).long()
    return replace(
        data,
        inputs=marks[:, :5],
        targets=marks[:, 1:6],
        held_out_inputs=held[:, :5],
        held_out_targets=held[:, 1:6],
    )


def convolve(layer: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    model = nn.Sequential(nn.Unflatten(1, shape), layer, nn.ReLU(inplace=True), nn.Flatten())
    width = model(torch.zeros(1, 16)).shape[1]
    return model.append(nn.Linear(width, 4))


@pytest.mark.parametrize(
    ("load", "reshape"),
    [
        pytest.param(in_place_module, None, id="an in-place ReLU behind a layer"),
        pytest.param(WritesInPlace, None, id="an output that is written into"),
        pytest.param(Twice, None, id="a layer called twice"),
        pytest.param(Attending, in_one_sequence, id="attention"),
        pytest.param(
            lambda: nn.Sequential(
                nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), nn.Flatten(), nn.Linear(16, 4)
            ),
            in_one_sequence,
            id="an encoder layer",
        ),
        pytest.param(lambda: Recurrent(nn.LSTM), in_sequences, id="LSTM"),
        pytest.param(lambda: Recurrent(nn.GRU), in_sequences, id="GRU"),
        pytest.param(lambda: InAnotherType(torch.bfloat16), None, id="bfloat16"),
        pytest.param(lambda: InAnotherType(torch.float16), None, id="float16"),
        pytest.param(lambda: InAnotherType(torch.float64), None, id="float64"),
        pytest.param(lambda: nn.Sequential(nn.Linear(16, 1), nn.Linear(1, 4)), None, id="rows of one element"),
        pytest.param(lambda: convolve(nn.Conv1d(1, 4, 2), (1, 16)), None, id="Conv1d"),
        pytest.param(lambda: convolve(nn.Conv2d(1, 4, 2), (1, 4, 4)), None, id="Conv2d"),
        pytest.param(lambda: convolve(nn.Conv3d(1, 4, 2), (1, 2, 2, 4)), None, id="Conv3d"),
        pytest.param(lambda: convolve(nn.ConvTranspose2d(1, 4, 2), (1, 4, 4)), None, id="ConvTranspose2d"),
    ],
)
def test_models_of_every_sort_are_trained(
    load: Callable[[], nn.Module], reshape: Callable[[Tensor], Tensor] | None
) -> None:
    data = make_data() if reshape is None else make_data(reshape)
    take_steps(load, data)
    take_steps(load, data, weight="lsq bits=4", output="lsq+ bits=8")


def test_an_embedding_has_integers_for_inputs_and_so_no_site_of_them() -> None:
    run = take_steps(Tied, as_tokens(make_data()), weight="int4", input="int8 + ema", output="int8 + ema")
    assert not rows_of(run, "embed", "input")
    assert rows_of(run, "embed", "output")
    assert rows_of(run, "head", "input")


def test_an_embedding_with_sparse_gradients_is_trained() -> None:
    def load() -> nn.Module:
        return nn.Sequential(nn.Embedding(8, 16, sparse=True), nn.Linear(16, 8))

    take_steps(load, as_tokens(make_data()), weight="int4 + ewgs", weight_gradient="int8")


def test_a_script_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch tells that scripts are to go
        script = torch.jit.script(make_mlp())
    with pytest.raises(ValueError, match="the model is a script"):
        wire(script, {}, Clock())


def test_tied_weights_have_one_quantizer_and_read_alike() -> None:
    run = take_steps(Tied, as_tokens(make_data()), weight="int4 + up-step")
    model = run.model
    assert isinstance(model, Tied)
    run.clock.adapts = False
    assert torch.equal(model.embed.weight, model.head.weight)
    assert list(run.wired.weights) == ["embed", "body"]
    assert len(rows_of(run, "embed", "weight")) == 5


def test_a_weight_that_is_read_twice_is_followed_once() -> None:
    run = take_steps(Tied, as_tokens(make_data()), weight="int4 + policy")
    follower = run.wired.weights["embed"].follower
    assert follower is not None
    assert follower.steps <= 5


def test_a_recurrent_layer_runs_on_its_quantized_weights() -> None:
    run = take_steps(lambda: Recurrent(nn.LSTM), make_data(in_sequences), weight="int2")
    model = run.model
    assert isinstance(model, Recurrent)
    run.clock.adapts = False
    x = make_data(in_sequences).inputs[:3]
    plain = Recurrent(nn.LSTM)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    plain.read.load_state_dict({name: getattr(model.read, name).detach() for name in names})
    with torch.no_grad():
        torch.testing.assert_close(model.read(x)[0], plain.read(x)[0])
    assert len(model.read.weight_ih_l0.unique()) <= 3


def test_the_output_channels_of_a_transposed_convolution_have_scales_of_their_own() -> None:
    layer = nn.ConvTranspose2d(3, 5, 2)
    wired = wire(layer, recipes_of(weight="int4 channel"), Clock())
    layer(torch.zeros(1, 3, 4, 4))
    site = wired.weights["weight"].site
    latent = wired.weights["weight"].latent
    assert latent is not None
    np.testing.assert_allclose(site.steps, latent.detach().abs().amax((0, 2, 3)).numpy() / 7, rtol=1e-6)


def test_a_frozen_weight_is_quantized_and_stays() -> None:
    def load() -> nn.Module:
        model = make_mlp()
        model.get_parameter("0.weight").requires_grad_(requires_grad=False)
        return model

    run = take_steps(load, weight="int4")
    latent = run.wired.weights["0"].latent
    assert latent is not None
    assert torch.equal(latent, load().get_parameter("0.weight"))
    assert rows_of(run, "0", "weight")[-1]["bits"] == 4


def test_a_model_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="all parameters of the model are frozen"):
        run_small(lambda: make_mlp().requires_grad_(requires_grad=False))


def test_evaluation_sees_the_quantized_activations_of_an_encoder_layer() -> None:
    """Its fast path in evaluation reads weights and no hooks; torch leaves it where hooks are."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        plain = layer(x)
        clock = Clock()
        wire(layer, recipes_of(input="int2"), clock)
        quantized = layer(x)
        clock.is_float = True
        again = layer(x)
    assert (quantized - plain).abs().max() > 0.01
    torch.testing.assert_close(again, plain, atol=1e-5, rtol=1e-5)
