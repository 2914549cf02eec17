"""Which problem do the controls of tab Textbook state, and how are its answers told?"""

from __future__ import annotations

from dataclasses import replace

from qanalysis.converters.lines import write_cell
from qanalysis.converters.noise_limits import NoiseSources
from qanalysis.converters.textbook.row import list_textbook_rows
from qanalysis.converters.textbook.textbook import Textbook, solve_textbook
from qanalysis.dashboard.converter.view import ConverterView, parse_numbers
from qanalysis.dashboard.elements import Fact
from qanalysis.notation import si


def check_problem(view: ConverterView) -> None:
    """ValueError for a problem that has no answer at any width: a range or inputs that mean nothing."""
    solve_view(replace(view, bits=1))


def solve_view(view: ConverterView) -> Textbook:
    """The problem that the controls state; ValueError for one that has no answer.

    Units of the boxes become SI units. Also for inputs that are no numbers, and for a jitter without its tone.
    """
    return solve_textbook(
        view.bits,
        view.low,
        view.high,
        inputs=parse_numbers(view.inputs),
        fs_over=view.fs_over,
        transfer=view.transfer,
        conversion_time_s=_divide(view.conversion_us, 1e6),
        noise=NoiseSources(
            jitter_s=_divide(view.clock_jitter_ps, 1e12),
            frequency_hz=view.tone_hz,
            capacitance_f=_divide(view.capacitance_pf, 1e12),
        ),
    )


def _divide(value: float | None, by: float) -> float | None:
    return None if value is None else value / by


def headline_problem(problem: Textbook) -> str:
    """Width, range, step and bound; plain text."""
    converter = problem.converter
    step, bound = write_cell(problem.step, "V"), write_cell(converter.error_bound, "V")
    return f"{converter.bits} bit over {write_cell(problem.full_scale, 'V')}: step {step}, bound ±{bound}"


def list_answers(problem: Textbook) -> list[Fact]:
    """The figures of the problem as the reports write them, for its first input, and the means over all of them."""
    row = list_textbook_rows(problem)[0]
    return [*((line.label, line.text, line.convention) for line in row.lines), *list_means(problem)]


def list_means(problem: Textbook) -> list[Fact]:
    """Mean relative error over the inputs in both readings; nothing without inputs.

    In percent; "n/a" where every base is 0.
    """
    errors = problem.relative_errors
    readings = (
        ("|x|", errors.of_measured, errors.of_measured_count),
        ("|y|", errors.of_predicted, errors.of_predicted_count),
    )
    return [
        (
            f"Mean relative error over {base}",
            "n/a" if mean is None else si(100 * mean, "%", digits=4),
            f"|e|/{base}, {count} of {errors.count} inputs",
        )
        for base, mean, count in readings
        if problem.inputs
    ]
