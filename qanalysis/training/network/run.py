"""How is one configuration trained? Its model, quantizers, optimizer and what was told so far, one step at a time.

Everything random follows from the seed: batches are functions of the step, and torch's own generator is put in place
for each step, so that dropout draws the same whatever else runs in the process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from qanalysis.models.data import Data
from qanalysis.models.model import Score, count_right, count_targets, measure, run_model, sum_loss
from qanalysis.training.configuration import Configuration
from qanalysis.training.gradient_rules import is_finite
from qanalysis.training.network.batches import Plan, plan_batches
from qanalysis.training.network.float_gradient import differentiate_float, differentiating, find_cosine
from qanalysis.training.network.norms import reestimate_norms
from qanalysis.training.network.paths import PathKeeper
from qanalysis.training.network.recording import Recorder, check_size, describe_weight
from qanalysis.training.network.saving import (
    restore_carrier,
    restore_rung,
    restore_site,
    save_carrier,
    save_rung,
    save_site,
)
from qanalysis.training.network.site import Clock
from qanalysis.training.network.turns import choose_threads, take_turn
from qanalysis.training.network.wiring import Wired, wire
from qanalysis.training.row import HistoryTotal
from qanalysis.training.rungs import RungState

#: Steps in a row without a finite loss and gradient after which a training has diverged.
PATIENCE = 20


@dataclass(slots=True, eq=False)
class Run:
    """A configuration at work. `step` are the steps done; `scores` the held-out results by word (float, post-training,
    held-out).
    """

    configuration: Configuration
    model: nn.Module
    teacher: nn.Module
    data: Data
    plan: Plan
    wired: Wired
    optimizer: torch.optim.Optimizer
    recorder: Recorder
    paths: PathKeeper
    random: Tensor
    step: int = 0
    skipped: int = 0
    broken: int = 0
    scores: dict[str, Score] = field(default_factory=dict)
    rung: RungState | None = None
    masks: dict[str, Tensor] = field(default_factory=dict)
    flips: int = 0
    items: int = 0
    may_be_saved: bool = False

    @classmethod
    def begin(cls, load: Callable[[], nn.Module], data: Data, configuration: Configuration) -> Self:
        """A training at its first step: `load` gives the float model anew at each call. Raises ValueError for layers
        that are not there and data that the model does not take.
        """
        with take_turn(torch.Generator().manual_seed(configuration.seed).get_state()):
            model, teacher = load(), load().eval()
            if configuration.start == "random":
                _forget(model)
            random = torch.get_rng_state()
        plan = plan_batches(
            data,
            batch=configuration.batch,
            seed=configuration.seed,
            learning=configuration.learning,
            steps=configuration.steps,
        )
        wired = wire(
            model,
            configuration.recipes,
            Clock(epoch=plan.epoch, tells=configuration.record_every > 0),
            pattern=configuration.layers,
        )
        check_size(configuration, len(wired.sites))
        return cls(
            configuration,
            model,
            teacher,
            data,
            plan,
            wired,
            _make_optimizer(model, configuration),
            Recorder(configuration.name),
            PathKeeper.of(wired, configuration.seed),
            random,
        )

    @property
    def clock(self) -> Clock:
        """Where the training stands, for its quantizers."""
        return self.wired.clock

    @property
    def has_news(self) -> bool:
        """Whether there are rows that no one has taken."""
        return len(self.recorder.lines) > self.recorder.taken

    @property
    def is_done(self) -> bool:
        """Whether the last step was made, or the training has diverged."""
        return self.step >= self.configuration.steps or self.broken >= PATIENCE

    def proceed(self, check: Callable[[], None]) -> Iterator[None]:
        """All steps that are left, stopping after each; `check` may raise before one."""
        if self.step == 0 and not self.scores:
            check()
            with self._drawing():
                self._prepare(check)
            yield
        while not self.is_done:
            check()
            with self._drawing():
                self._advance()
            yield
        if "final" not in self.scores:
            self._finish()
            yield

    def _prepare(self, check: Callable[[], None]) -> None:
        """Float and post-training results, with the ranges that the calibration batches give."""
        configuration = self.configuration
        self.scores["float"] = self._measure(self.data.held_out_inputs, self.data.held_out_targets, as_float=True)
        self._tell("float", self.scores["float"])
        self._calibrate(check)
        self.scores["post-training"] = self._measure(self.data.held_out_inputs, self.data.held_out_targets)
        self._tell("post-training", self.scores["post-training"])
        if configuration.rungs is not None and configuration.target_bits is not None:
            self.rung = configuration.rungs.start(configuration.target_bits, self.scores["float"]["loss"])
            self._set_rung("")
        self._evaluate(0)

    def _calibrate(self, check: Callable[[], None]) -> None:
        clock = self.clock
        clock.adapts, clock.records, clock.follows = True, False, False
        for place in range(self.configuration.calibration):
            check()
            inputs, _targets = self.plan.draw(place)
            with torch.no_grad():
                was = self.model.training
                self.model.eval()
                run_model(self.model, inputs)
                self.model.train(was)
        for site in self.wired.sites:
            site.settle()
        clock.follows = True

    def _advance(self) -> None:
        """One optimizer step and its rows."""
        configuration, clock = self.configuration, self.clock
        clock.step, clock.progress = self.step, self.step / max(configuration.steps, 1)
        is_last = self.step == configuration.steps - 1
        clock.records = clock.tells and (is_last or self.step % configuration.record_every == 0)
        clock.adapts, clock.is_float, clock.is_broken = True, False, False
        inputs, targets = self.plan.draw(self.step)
        self.items += len(inputs)
        self.model.train()
        float_gradients = (
            differentiate_float(self.model, self.wired, inputs, targets, self.data.loss) if clock.records else {}
        )
        self.optimizer.zero_grad(set_to_none=True)
        outputs = run_model(self.model, inputs)
        loss, parts = self._lose(outputs, inputs, targets)
        moves = bool(torch.isfinite(loss))
        if moves:
            with differentiating():
                torch.autograd.backward(loss)
            moves = not clock.is_broken and _are_finite(self.optimizer)
        self.broken = 0 if moves else self.broken + 1
        self.skipped += not moves
        if clock.tells:
            self.paths.keep(self.step)
        if moves:
            self._move()
        else:
            self.wired.forget()
        if clock.records:
            self._record(float(loss.detach()), parts, float_gradients, moves=moves)
        self.step += 1
        self.may_be_saved = self.step % configuration.evaluate_every == 0 or self.is_done
        if self.may_be_saved:
            self._evaluate(self.step)
        self._climb_down(self.scores["held-out"]["loss"] if self.may_be_saved else math.nan)

    def _lose(self, outputs: Tensor, inputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss of the step, a mean over the targets; the accuracy of its batch, and a distillation's parts."""
        rule, parts, count = self.configuration.distillation, {}, count_targets(targets)
        if self.clock.records and self.data.loss == "cross-entropy":
            parts = {"accuracy": count_right(outputs.detach(), targets) / count}
        if rule is None:
            return sum_loss(outputs, targets, self.data.loss) / count, parts
        with torch.no_grad():
            taught = run_model(self.teacher, inputs)
        found = rule(outputs, taught, targets)
        return found.total, {**parts, "kl": found.kl, "agreement": found.agreement}

    def _move(self) -> None:
        self.optimizer.step()
        self.wired.descend(self.optimizer.param_groups[0]["lr"])
        pruning = self.configuration.pruning
        if pruning is None:
            return
        for layer, carrier in self.wired.weights.items():
            if carrier.latent is None:
                continue
            with torch.no_grad():
                if self.step % PRUNE_EVERY == 0 or layer not in self.masks:
                    self.masks[layer] = pruning(carrier.latent.detach(), self.clock.progress)
                carrier.latent.mul_(self.masks[layer])

    def _record(self, loss: float, parts: dict[str, float], gradients: dict[str, Tensor], *, moves: bool) -> None:
        """The rows of this step."""
        event = "" if moves else self._tell_skip(loss)
        right = parts.get("accuracy")
        self.recorder.add_model(self.step, "training", loss=loss, accuracy=right, event=event, numel=self.items)
        if "kl" in parts:
            self.recorder.add_model(self.step, "distillation", loss=parts["kl"], accuracy=parts["agreement"])
        for site in self.wired.sites:
            carrier = self.wired.weights.get(site.layer) if site.kind == "weight" else None
            if site.seen is None and site.state is None and carrier is None:
                continue  # not available, such as the gradient of the first layer's input
            cells: dict[str, Any] = {"loss": loss}
            if carrier is not None:
                cells |= describe_weight(carrier, find_cosine(carrier, gradients.get(site.layer)))
                self.flips += carrier.flips
                carrier.flips = 0
            self.recorder.add_site(self.step, site, **cells)
            site.events.clear()
            site.seen = None

    def _tell_skip(self, loss: float) -> str:
        what = "the loss is not finite" if not math.isfinite(loss) else "a gradient is not finite"
        ends = f"; {PATIENCE} in a row, the training has diverged and ends" if self.broken >= PATIENCE else ""
        return f"{what}: step skipped, nothing moved{ends}"

    def _evaluate(self, step: int) -> None:
        """Held-out results at this step; of a stream, those on old and on new data."""
        held_out = self._measure(self.data.held_out_inputs, self.data.held_out_targets)
        self.scores["held-out"] = held_out
        self._tell("held-out", held_out, step)
        new = self.plan.streamed
        if new is not None:
            self._tell("old-data", held_out, step)
            self._tell("new-data", self._measure(new.held_out_inputs, new.held_out_targets), step)

    def _climb_down(self, loss: float) -> None:
        """The next rung, where the held-out loss (NaN at steps without one) or the steps on this one allow it."""
        rungs = self.configuration.rungs
        if rungs is not None and self.rung is not None:
            self.rung, reason = rungs.decide(self.rung, loss)
            if reason:
                self._set_rung(reason)

    def _set_rung(self, reason: str) -> None:
        """The width of the rung, for weights and for activations that are to end at the same width."""
        recipes, target = self.configuration.recipes, self.configuration.target_bits
        climbing = [kind for kind, one in recipes.items() if one.bits == target and not kind.endswith("gradient")]
        for site in self.wired.sites:
            if self.rung is not None and site.kind in climbing:
                site.set_bits(self.rung.bits, reason)

    def _measure(self, inputs: Tensor, targets: Tensor, *, as_float: bool = False) -> Score:
        clock = self.clock
        clock.adapts, clock.is_float = False, as_float
        try:
            return measure(self.model, inputs, targets, loss=self.data.loss)
        finally:
            clock.adapts, clock.is_float = True, False

    def _tell(self, kind: str, score: Score, step: int | None = None) -> None:
        self.recorder.add_model(self.step if step is None else step, kind, **score)

    def _finish(self) -> None:
        """Normalisation statistics anew under the last weights (B3), then the last held-out result."""
        with self._drawing():
            if reestimate_norms(self.model, self.clock, self.plan):
                self._evaluate(self.step)
                self.recorder.lines[-1]["event"] = "batch statistics estimated anew over the last weights"
        self.scores["final"] = self.scores["held-out"]
        self.may_be_saved = True

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Torch's generator in the state of this training."""
        with take_turn(self.random, threads=choose_threads(self.model)):
            yield
            self.random = torch.get_rng_state()

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on, plain values and tensors."""
        return {
            "step": self.step,
            "counts": [self.skipped, self.broken, self.flips, self.items],
            "scores": {word: dict(score) for word, score in self.scores.items()},
            "rung": save_rung(self.rung),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": self.random,
            "masks": dict(self.masks),
            "lines": self.recorder.lines,
            "paths": {"steps": list(self.paths.steps), "lines": dict(self.paths.lines)},
            "sites": [save_site(site) for site in self.wired.sites],
            "carriers": {layer: save_carrier(one) for layer, one in self.wired.weights.items()},
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on from a state of the same configuration."""
        self.step = kept["step"]
        self.skipped, self.broken, self.flips, self.items = kept["counts"]
        self.scores = {word: Score(loss=one["loss"], accuracy=one["accuracy"]) for word, one in kept["scores"].items()}
        self.rung, self.random, self.masks = restore_rung(kept["rung"]), kept["random"], dict(kept["masks"])
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.recorder.lines = list(kept["lines"])
        self.paths.steps, self.paths.lines = list(kept["paths"]["steps"]), dict(kept["paths"]["lines"])
        for site, one in zip(self.wired.sites, kept["sites"], strict=True):
            restore_site(site, one)
        for layer, one in kept["carriers"].items():
            restore_carrier(self.wired.weights[layer], one)

    def total(self) -> HistoryTotal:
        """The configuration as a whole, so far."""
        nothing: Score = {"loss": math.nan, "accuracy": None}
        own, first, last = (self.scores.get(word, nothing) for word in ("float", "post-training", "held-out"))
        return HistoryTotal(
            configuration=self.configuration.name,
            steps=self.step - self.skipped,
            skipped_steps=self.skipped,
            float_loss=_known(own["loss"]),
            float_accuracy=own["accuracy"],
            post_training_loss=_known(first["loss"]),
            post_training_accuracy=first["accuracy"],
            final_loss=_known(last["loss"]),
            final_accuracy=last["accuracy"],
            adjustments=sum(site.adjustments for site in self.wired.sites),
            checks=sum(site.checks for site in self.wired.sites),
            switches=sum(carrier.switches for carrier in self.wired.weights.values()),
            flips=self.flips + sum(carrier.flips for carrier in self.wired.weights.values()),
        )


#: Steps between looks for the smallest weights: between them the same ones are kept at 0.
PRUNE_EVERY = 5


def _make_optimizer(model: nn.Module, configuration: Configuration) -> torch.optim.Optimizer:
    parameters = [one for one in model.parameters() if one.requires_grad]
    if not parameters:
        raise ValueError("all parameters of the model are frozen; let at least one require a gradient")
    rate, decay = configuration.rate, configuration.weight_decay
    if configuration.optimizer == "adam":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    return torch.optim.SGD(parameters, lr=rate, momentum=configuration.momentum, weight_decay=decay)


def _forget(model: nn.Module) -> None:
    """Random weights in every layer that knows how to draw them."""
    for module in model.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()


def _are_finite(optimizer: torch.optim.Optimizer) -> bool:
    moved = (one.grad for group in optimizer.param_groups for one in group["params"])
    return all(g is None or is_finite(g) for g in moved)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
