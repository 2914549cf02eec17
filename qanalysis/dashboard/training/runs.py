"""What does the training lab change of an experiment before it runs, and what does it know of it beforehand?"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import streamlit as st

from qanalysis.dashboard.trainings import TrainingRequest, run_training
from qanalysis.training.configuration import Configuration, Experiment
from qanalysis.training.counts import Counts
from qanalysis.training.gradient_rules import Policy
from qanalysis.training.range_rules import PrecisionRule
from qanalysis.training.recipe import Recipe


@st.cache_resource
def warm_training() -> None:
    """Load torch and the compiled loops, once per server, on a thread of their own, while a person reads the page."""
    one = Configuration.from_words({"name": "warm", "weight": "int4 channel", "input": "int8", "steps": 1})
    request = TrainingRequest(Experiment("sample:digits-mlp", None, (one,)).to_toml())
    work = partial(run_training, request, lambda _progress: None, threading.Event())
    threading.Thread(target=work, name="warm-training", daemon=True).start()


@dataclass(frozen=True, slots=True)
class Readings:
    """How three rules are to be read in the next run; "" leaves each recipe as it is written.

    Parameters
    ----------
    exponent : covering, library or source, for every rule that finds an exponent from a largest value (A6).
    mean : guarded or literal, for the mean update of counts (A2).
    measure : element or scalar, which fluctuation a policy follows (A1).
    """

    exponent: Literal["", "covering", "library", "source"] = ""
    mean: Literal["", "guarded", "literal"] = ""
    measure: Literal["", "element", "scalar"] = ""

    def apply(self, experiment: Experiment) -> Experiment:
        """The experiment with its recipes read so; ValueError where a recipe can not be."""
        changed = tuple(self._apply_to(one) for one in experiment.configurations)
        return replace(experiment, configurations=changed)

    def _apply_to(self, configuration: Configuration) -> Configuration:
        recipes = {kind: self._read(recipe) for kind, recipe in configuration.recipes.items()}
        return configuration if recipes == dict(configuration.recipes) else replace(configuration, recipes=recipes)

    def _read(self, recipe: Recipe) -> Recipe:
        rule, gradient = recipe.range, recipe.gradient
        if self.exponent and isinstance(rule, PrecisionRule):
            recipe = replace(recipe, range=replace(rule, exponent=self.exponent))
        if self.mean and isinstance(rule, Counts):
            recipe = replace(recipe, range=replace(rule, mean=self.mean))
        if self.measure and isinstance(gradient, Policy):
            recipe = replace(recipe, gradient=replace(gradient, measure=self.measure))
        return recipe


def find_thresholds(experiment: Experiment, configuration: str, kind: str) -> tuple[float, float] | None:
    """The thresholds of the policy of a kind of data; None without a policy."""
    found = next((one for one in experiment.configurations if one.name == configuration), None)
    recipes = found.recipes if found else {}
    gradient = next((recipe.gradient for one, recipe in recipes.items() if one == kind), None)
    return gradient.thresholds if isinstance(gradient, Policy) else None
