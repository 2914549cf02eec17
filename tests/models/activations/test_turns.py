"""Inputs quantized in a run, against torch's own fake quantization and the quantizers over whole matrices."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.activations.turns import InputGrids, calibrate_inputs, find_extent
from qanalysis.models.calibration.samples import Batch, Calibration, number_blocks
from qanalysis.models.running.runnable import Change, Layer
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.scheme import Scheme


class Twice(nn.Module):
    """A layer used twice, and one that never runs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.shared, self.idle = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.shared(torch.relu(self.shared(torch.relu(self.first(x)))))


def make_calibration(*shapes: tuple[int, ...]) -> Calibration:
    torch.manual_seed(1)
    blocks = [Batch({"x": torch.randn(shape) * torch.linspace(0.1, 3, shape[-1])}) for shape in shapes]
    return Calibration(number_blocks(blocks), "drawn")


def find_layer(model: TorchModel, name: str) -> Layer:
    return next(layer for layer in model.layers if layer.name == name and layer.tensor.role == "weight")


def gather_inputs(model: TorchModel, calibration: Calibration, name: str, size: int = 1000) -> np.ndarray:
    seen = list[Tensor]()
    for batch in calibration.batches(size):
        model.watch(batch, [name], lambda _name, values: seen.append(values.reshape(-1, values.shape[-1])))
    return torch.cat(seen).numpy()


def calibrate(model: TorchModel, calibration: Calibration, text: str, **options: object) -> InputGrids:
    return calibrate_inputs(model, calibration, model.layers, [Scheme.parse(text)], **options)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_one_static_range_is_torch_fake_quantization_over_all_calls_of_a_layer(batch: int) -> None:
    model, data = TorchModel(Twice(), "twice"), make_calibration((20, 8), (5, 3, 8))
    layer, values = find_layer(model, "shared"), torch.randn(4, 3, 8)
    largest = np.abs(gather_inputs(model, data, "shared", batch)).max()
    turn = calibrate(model, data, "int8", batch=batch).turn(layer, Scheme.parse("int8"))
    wanted = torch.fake_quantize_per_tensor_affine(values, float(largest / np.float32(127)), 0, -127, 127)
    # the zero's sign aside, number for number
    assert torch.equal(turn(values), wanted)


def test_one_static_range_of_each_feature_is_torch_fake_quantization_per_channel() -> None:
    model, data = TorchModel(Twice(), "twice"), make_calibration((50, 8))
    layer, values, scheme = find_layer(model, "first"), torch.randn(2, 5, 8) * 2, Scheme.parse("int4 channel=1")
    turn = calibrate(model, data, "int4 channel=1").turn(layer, scheme)
    scales = torch.from_numpy(np.abs(gather_inputs(model, data, "first")).max(0) / np.float32(7))
    zeros = torch.zeros(8, dtype=torch.int32)
    assert torch.equal(turn(values), torch.fake_quantize_per_channel_affine(values, scales, zeros, 2, -7, 7))


@pytest.mark.parametrize("text", ["int8 channel", "int4 asym group=4", "int4 group=3", "binary channel", "nf4 group=4"])
def test_tokens_and_groups_have_ranges_of_their_own_when_they_run(text: str) -> None:
    model, data, scheme = TorchModel(Twice(), "twice"), make_calibration((9, 8)), Scheme.parse(text)
    turn = calibrate(model, data, text).turn(find_layer(model, "first"), scheme)
    values = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(3)) * 100
    matrix = values.reshape(15, 8).numpy()
    assert np.array_equal(turn(values).reshape(15, 8).numpy(), scheme.fit(matrix).round_trip(matrix))
    # what stands beside a token changes nothing
    assert torch.equal(turn(values)[1:2, 2:3], turn(values[1:2, 2:3]))


def test_blocks_of_two_levels_take_the_outer_scale_from_calibration() -> None:
    module = nn.Sequential(nn.Linear(32, 4))
    model, data = TorchModel(module, "wide"), make_calibration((40, 32))
    scheme = Scheme.parse("nvfp4")
    turn = calibrate(model, data, "nvfp4").turn(model.layers[0], scheme)
    values = data.blocks[0].inputs["x"]
    fitted = scheme.fit(values.numpy()).round_trip(values.numpy())
    assert np.array_equal(turn(values).numpy(), fitted)
    assert torch.equal(turn(values[3:5]), turn(values)[3:5])


def test_features_of_convolutions_lie_along_the_second_axis() -> None:
    torch.manual_seed(4)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    model = TorchModel(module, "planes")
    data = Calibration((Batch({"x": torch.randn(6, 3, 7, 7) * torch.tensor([1.0, 10, 100]).reshape(3, 1, 1)}),), "x")
    layer, x = model.layers[0], data.blocks[0].inputs["x"]
    per_feature = calibrate(model, data, "int8 channel=1").turn(layer, Scheme.parse("int8 channel=1"))(x)
    scales = x.abs().amax((0, 2, 3)) / 127
    zeros = torch.zeros(3, dtype=torch.int32)
    assert torch.equal(per_feature, torch.fake_quantize_per_channel_affine(x, scales, zeros, 1, -127, 127))
    tokens = x.movedim(1, -1).reshape(-1, 3).numpy()
    per_token = calibrate(model, data, "int8 channel").turn(layer, Scheme.parse("int8 channel"))(x)
    wanted = Scheme.parse("int8 channel").fit(tokens).round_trip(tokens)
    assert np.array_equal(per_token.movedim(1, -1).reshape(-1, 3).numpy(), wanted)
    norm = find_layer_of(model, "1")
    ranges = calibrate(model, data, "int8 channel=1").seen[norm.name].features
    assert ranges is not None
    assert ranges.groups == 4


def find_layer_of(model: TorchModel, name: str) -> Layer:
    return next(layer for layer in model.layers if layer.name == name)


def test_moving_averages_of_ends_begin_with_the_first_batch() -> None:
    model = TorchModel(nn.Sequential(nn.Linear(1, 1)), "one")
    data = Calibration((Batch({"x": torch.tensor([[1.0], [3.0], [2.0]])}),), "x")
    grids = calibrate(model, data, "int8", batch=1, averaging="moving")
    high = 0.9 * (0.9 * 1 + 0.1 * 3) + 0.1 * 2
    turned = grids.turn(model.layers[0], Scheme.parse("int8"))(torch.tensor([[100.0]]))
    assert turned.item() == pytest.approx(high, rel=1e-6)
    with pytest.raises(ValueError, match="averaging 'mean'"):
        calibrate(model, data, "int8", averaging="mean")


@pytest.mark.parametrize("rule", ["percentile:99", "mse", "kl", "meanstd:2"])
def test_rules_over_features_hold_when_the_room_is_for_one_layer_at_a_time(rule: str) -> None:
    model, data = TorchModel(Twice(), "twice"), make_calibration((60, 8))
    scheme = Scheme.parse(f"int8 channel=1 range={rule}")
    values = torch.randn(30, 8)
    once = calibrate(model, data, str(scheme))
    apart = calibrate(model, data, str(scheme), batch=13, histogram_bytes=1)
    for name in ("first", "shared"):
        layer = find_layer(model, name)
        assert torch.equal(once.turn(layer, scheme)(values), apart.turn(layer, scheme)(values))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("text", ["int8", "int8 channel", "int8 channel=1", "bfloat16"])
def test_shape_and_type_stay(dtype: torch.dtype, text: str) -> None:
    model, data, scheme = TorchModel(Twice(), "twice"), make_calibration((9, 8)), Scheme.parse(text)
    turn = calibrate(model, data, text).turn(find_layer(model, "first"), scheme)
    for shape in ((8,), (0, 8), (2, 8), (2, 3, 4, 8)):
        values = torch.ones(shape, dtype=dtype)
        assert turn(values).shape == values.shape
        assert turn(values).dtype == dtype


def test_a_run_with_turned_inputs_is_the_model_on_quantized_inputs() -> None:
    model, data, scheme = TorchModel(Twice(), "twice"), make_calibration((16, 8)), Scheme.parse("int3")
    turn = calibrate(model, data, "int3").turn(find_layer(model, "shared"), scheme)
    batch = data.blocks[0]
    found = model.rerun(model.record(batch), Change(inputs={"shared": turn}))
    module = model.module
    with torch.no_grad():
        hidden = torch.relu(module.first(batch.inputs["x"]))
        wanted = module.shared(turn(torch.relu(module.shared(turn(hidden)))))
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int8 block=2x4", "a block over several tokens"),
        ("int8 channel=2", "there is no axis 2"),
        ("nf4 group=4 scale=double", "stores scales across tokens"),
        ("mxfp4", "blocks of 32, which do not divide a row of 8"),
    ],
)
def test_schemes_that_do_not_fit_are_refused(text: str, message: str) -> None:
    model, data = TorchModel(Twice(), "twice"), make_calibration((9, 8))
    with pytest.raises(ValueError, match=message):
        calibrate(model, data, text).turn(find_layer(model, "first"), Scheme.parse(text))


def test_layers_that_never_ran_or_take_no_real_numbers_are_refused() -> None:
    model, data = TorchModel(Twice(), "twice"), make_calibration((9, 8))
    grids = calibrate(model, data, "int8")
    with pytest.raises(ValueError, match="layer 'idle' never ran"):
        grids.turn(find_layer(model, "idle"), Scheme.parse("int8"))
    with pytest.raises(ValueError, match="takes no real numbers"):
        grids.turn(Layer("words", model.tensors[0], has_real_input=False), Scheme.parse("int8"))
    with pytest.raises(ValueError, match="name it when calibrating"):
        grids.turn(find_layer(model, "first"), Scheme.parse("int8 channel=1"))


def test_the_axis_of_features_may_be_that_of_the_tensor() -> None:
    assert find_extent(Scheme.parse("int8 channel=2"), 2) == "feature"
    assert find_extent(Scheme.parse("int8 channel=0"), 2) == "token"
