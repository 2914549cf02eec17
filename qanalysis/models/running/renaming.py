"""Which names of a checkpoint are those of a model? Wrappers put parts in front of names, or in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Parts that torch's wrappers put into names: of torch.compile, of sharding, of checkpointed activations.
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_DEEPEST = 6


def unwrap(name: str) -> str:
    """A name without what torch's wrappers put into it.

    >>> unwrap("_orig_mod.layers.0._fsdp_wrapped_module.weight")
    'layers.0.weight'
    """
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


@dataclass(frozen=True, slots=True)
class Renaming:
    """From names of a file to names of a model: `taken` is what is taken off in front, `put` what is put there."""

    taken: str = ""
    put: str = ""

    def __call__(self, name: str) -> str:
        """The model's name of a file's tensor; without the part in front a name stays as it is."""
        bare = unwrap(name)
        return f"{self.put}{bare.removeprefix(self.taken)}" if bare.startswith(self.taken) else bare


def find_renaming(saved: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> Renaming:
    """The renaming under which most tensors of a file, by name with their shapes, are tensors of a model.

    >>> find_renaming({"module.fc.weight": (2, 3), "module.fc.bias": (2,)}, {"fc.weight": (2, 3), "fc.bias": (2,)})
    Renaming(taken='module.', put='')
    """
    file = {unwrap(name): shape for name, shape in saved.items()}
    model = {unwrap(name): shape for name, shape in wanted.items()}
    votes = Counter(Renaming(taken=front) for front in _find_fronts(file, model))
    votes.update(Renaming(put=front) for front in _find_fronts(model, file) if front)
    return max(votes, key=lambda one: (votes[one], -len(one.taken + one.put)), default=Renaming())


def _find_fronts(longer: Mapping[str, tuple[int, ...]], shorter: Mapping[str, tuple[int, ...]]) -> Iterable[str]:
    """What stands before a name of `shorter` in those of `longer` that end in it and have its shape."""
    for name, shape in longer.items():
        parts = name.split(".")
        for depth in range(min(len(parts), _DEEPEST)):
            rest = ".".join(parts[depth:])
            if shorter.get(rest) == shape:
                yield name.removesuffix(rest)
