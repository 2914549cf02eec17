"""The features that a layer is said to meet, times its weight's matrix, are the layer's outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qanalysis.models.repairs.spreading import find_spread
from qanalysis.models.running.torch_model import TorchModel

LAYERS = {
    "linear": (nn.Linear(6, 4), (3, 5, 6)),
    "conv1d, strided and dilated": (nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2), (2, 4, 11)),
    "conv2d in groups": (nn.Conv2d(4, 6, (3, 2), groups=2, padding=(1, 0)), (2, 4, 7, 6)),
    "depthwise": (nn.Conv2d(5, 5, 3, groups=5, bias=False), (2, 5, 6, 6)),
    "same padding, even kernel, dilated": (nn.Conv2d(3, 4, (4, 3), padding="same", dilation=(2, 2)), (2, 3, 8, 7)),
    "same padding, odd dilation": (nn.Conv1d(3, 4, 3, padding="same", dilation=3), (2, 3, 9)),
    "valid padding": (nn.Conv1d(3, 4, 3, padding="valid"), (2, 3, 9)),
    "reflected padding": (nn.Conv2d(3, 4, 3, padding=(2, 1), padding_mode="reflect"), (2, 3, 6, 7)),
    "circular padding": (nn.Conv1d(3, 4, 3, padding=1, padding_mode="circular"), (2, 3, 9)),
    "conv3d": (nn.Conv3d(2, 3, 2), (2, 2, 4, 3, 5)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), (2, 4, 5, 4)),
    "transposed in groups": (nn.ConvTranspose1d(4, 6, 4, stride=3, groups=2, dilation=2), (2, 4, 5)),
    "transposed, padding beyond the kernel": (nn.ConvTranspose1d(2, 3, 2, padding=2, stride=2), (2, 2, 7)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_features_times_the_matrix_are_the_outputs(kind: str) -> None:
    module, shape = LAYERS[kind]
    module = module.double()
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = TorchModel(nn.Sequential(module), kind)
    (layer,) = (layer for layer in model.layers if layer.tensor.role == "weight")
    spread = find_spread(model, layer)
    features = torch.cat(list(spread.parts(inputs)), 1)
    weight = torch.from_numpy(layer.tensor.view.to_matrix(module.weight.detach().numpy()).copy())
    outputs = features @ weight.reshape(spread.groups, -1, spread.width).transpose(1, 2)  # (groups, places, rows)
    wanted = module(inputs).detach()
    channels_last = wanted if kind == "linear" else wanted.movedim(1, -1)
    places = channels_last.reshape(-1, channels_last.shape[-1])
    if module.bias is not None:
        places = places - module.bias.detach()
    # sums of at most 24 products of a few units in float64: 1e-13 is far above their rounding
    torch.testing.assert_close(outputs.permute(1, 0, 2).reshape(places.shape), places, atol=1e-13, rtol=0)


def test_one_image_without_an_axis_of_samples_is_a_batch_of_one() -> None:
    module = nn.Conv2d(3, 4, 3)
    model = TorchModel(nn.Sequential(module), "test")
    spread = find_spread(model, model.layers[0])
    image = torch.randn(3, 5, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(spread.lay_out(image), spread.lay_out(image[None]))


@pytest.mark.parametrize(
    ("module", "reason"),
    [(nn.GRU(3, 4), "GRU is no product"), (nn.Embedding(3, 4), "Embedding is no product")],
    ids=["recurrent", "embedding"],
)
def test_a_layer_that_is_no_product_says_so(module: nn.Module, reason: str) -> None:
    model = TorchModel(nn.Sequential(module), "test")
    with pytest.raises(ValueError, match=reason):
        find_spread(model, model.layers[0])


def test_an_input_of_another_width_is_refused() -> None:
    model = TorchModel(nn.Sequential(nn.Linear(3, 4)), "test")
    spread = find_spread(model, model.layers[0])
    with pytest.raises(ValueError, match="an input of 5 features meets a weight of 3"):
        spread.lay_out(torch.zeros(2, 5))
