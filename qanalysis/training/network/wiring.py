"""How do the quantizers get into a model? Weights by parametrization, inputs and outputs by hooks, gradients on the way
back.

Nothing of the model's own code changes: while it is wired a layer's weight reads as its quantized value, and the
optimizer moves the latent one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.nn.modules.conv import _ConvTransposeNd as ConvTranspose
from torch.nn.utils import parametrize

from qanalysis.notation import quote, shorten
from qanalysis.patterns import Pattern
from qanalysis.training.network.carrier import Carrier, WeightCarrier, carry_back, watched
from qanalysis.training.network.site import Clock, Pool, Site
from qanalysis.training.range_rules import PrecisionRule
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import KindOfData


@dataclass(slots=True, eq=False)
class Wired:
    """The quantizers of a model: all sites in the order of the model, the carriers of weights by layer, and the
    carriers of activations.
    """

    clock: Clock
    sites: list[Site] = field(default_factory=list)
    weights: dict[str, WeightCarrier] = field(default_factory=dict)
    activations: list[Carrier] = field(default_factory=list)

    def descend(self, rate: float) -> None:
        """Move all learned ranges."""
        for carrier in (*self.weights.values(), *self.activations):
            carrier.descend(rate)

    def forget(self) -> None:
        """Drop what learned ranges gathered in a step that is skipped."""
        for carrier in (*self.weights.values(), *self.activations):
            carrier.slope.clear()


class _Weight(nn.Module):
    """A parametrization: the latent weight in, the quantized one out."""

    def __init__(self, carrier: WeightCarrier) -> None:
        super().__init__()
        self.carrier = carrier

    def forward(self, weight: Tensor) -> Tensor:
        """The quantized weight, of its shape."""
        return self.carrier.carry(weight)


def list_layers(model: nn.Module, pattern: str = "") -> Iterator[tuple[str, nn.Module, str]]:
    """(layer, module, name of the parameter) of every floating-point weight of two or more dimensions, in the order of
    the model; one that several modules share, once for each. `pattern` is searched in the layer's name.

    Raises ValueError for a pattern that is no regular expression or takes too long.
    """
    found = []
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim < 2 or not parameter.is_floating_point():
                continue
            layer = path if name == "weight" and path else f"{path}.{name}".strip(".")
            found.append((layer, module, name))
    kept = Pattern.parse(pattern, "layers").select([layer for layer, _module, _name in found])
    yield from (one for one in found if one[0] in kept)


def wire(model: nn.Module, recipes: Mapping[KindOfData, Recipe], clock: Clock, *, pattern: str = "") -> Wired:
    """Put the quantizers of the recipes into a model, in place, and sites that only look where there is no recipe.

    A weight that several modules share has one quantizer, named after the first.
    Raises ValueError where no layer has a name that the pattern finds, or a weight does not fit its scheme.
    """
    if any(isinstance(one, ScriptModule) for one in model.modules()):
        raise ValueError("the model is a script, whose weights can not be quantized; return the module it was made of")
    layers = list(list_layers(model, pattern))
    if not layers:
        names = ", ".join(layer for layer, _module, _name in list_layers(model)) or "none"
        raise ValueError(
            f"layers {quote(pattern)} finds no layer with a weight of two dimensions; there are {shorten(names, 300)}"
        )
    wired = Wired(clock)
    pools: dict[KindOfData, Pool] = {
        kind: Pool()
        for kind, recipe in recipes.items()
        if isinstance(recipe.range, PrecisionRule) and recipe.range.scope == "all"
    }

    def make(layer: str, kind: KindOfData) -> Site:
        site = Site(layer, kind, recipes.get(kind), clock, pools.get(kind))
        wired.sites.append(site)
        return site

    hooked: set[int] = set()
    carriers: dict[int, WeightCarrier] = {}
    for layer, module, name in layers:
        latent = getattr(module, name)
        if id(latent) not in carriers:
            carriers[id(latent)] = _make_carrier(module, latent, make(layer, "weight"), make(layer, "weight-gradient"))
            wired.weights[layer] = carriers[id(latent)]
        parametrize.register_parametrization(module, name, _Weight(carriers[id(latent)]), unsafe=True)
        if id(module) not in hooked:
            hooked.add(id(module))
            _wire_activations(wired, module, [make(layer, kind) for kind in _AROUND])
    return wired


_AROUND: tuple[KindOfData, ...] = ("input", "input-gradient", "output", "output-gradient")


def _make_carrier(module: nn.Module, latent: nn.Parameter, site: Site, gradient: Site) -> WeightCarrier:
    # A transposed convolution has its outputs on the second axis.
    site.axis = int(isinstance(module, ConvTranspose))
    if site.recipe is not None:
        try:
            site.scheme.lay_out(tuple(latent.shape), axis=site.axis)
        except ValueError as error:
            raise ValueError(f"{site.layer} weight: {error}; leave the layer out or choose another format") from error
    return WeightCarrier(site, latent=latent, gradient=gradient)


def _hand_over_weights(module: nn.Module, _inputs: Any) -> None:
    """A recurrent layer runs on a list of its parameters, which knows nothing of what they read as."""
    if isinstance(module, nn.RNNBase):
        vars(module)["_flat_weights"] = [weight for part in module.all_weights for weight in part]


def _wire_activations(wired: Wired, module: nn.Module, sites: list[Site]) -> None:
    if isinstance(module, nn.RNNBase):
        module.register_forward_pre_hook(_hand_over_weights)
    entrance, back_out, exit_, back_in = sites
    into, out = Carrier(entrance), Carrier(exit_)
    wired.activations += [into, out]

    def before(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not inputs or not isinstance(inputs[0], Tensor) or not inputs[0].is_floating_point():
            return None
        return (_pass_by(inputs[0], into, back_out), *inputs[1:])

    def after(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Any:
        if type(output) is tuple and output:  # what attention and recurrent layers return beside is their own
            return (after(_module, _inputs, output[0]), *output[1:])
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return output
        passed: Any = _look(output, out)
        if passed.requires_grad and back_in.is_at_work:
            # A hook, not a function that returns a view: an in-place activation may follow.
            passed.register_hook(lambda g: carry_back(g, back_in))
        return passed

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)


def _pass_by(x: Tensor, carrier: Carrier, gradient: Site) -> Tensor:
    """The input quantized; the gradient that leaves it is seen last on the way back, so its site lies in front."""
    return _look(watched(x, gradient) if x.requires_grad and gradient.is_at_work else x, carrier)


def _look(x: Tensor, carrier: Carrier) -> Tensor:
    site, clock = carrier.site, carrier.clock
    if site.recipe is None:
        if clock.records and clock.adapts and not clock.is_float:
            site.observe(x.detach().to("cpu").float().contiguous().numpy())
        return x
    return carrier.carry(x)
