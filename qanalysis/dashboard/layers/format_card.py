"""What is the format in view?

Its levels, range, storage and the tools whose values it gives bit for bit, as a section of page Layers.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from qanalysis.charts.format_levels import find_levels
from qanalysis.charts.linked.recipes import write_levels
from qanalysis.dashboard.elements import draw_chart
from qanalysis.dashboard.layers.cache import draw_levels
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.diagnosis.profile import LayerProfile
from qanalysis.notation import true_minus
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.row import Row


def draw_format_card(text: str, row: Row | None, profile: LayerProfile | None) -> None:
    """The section for the scheme in view; `row` and `profile` are those of the layer in view where it was measured.

    Chart "levels" and a table of facts; the expander's key is "card". Closed, it costs nothing.
    """
    section = st.expander(
        "Number format: levels, range, storage, equal tools", key=keep("card"), on_change="rerun", icon=":material/pin:"
    )
    if not section.open:
        return
    with section:
        draw_chart(draw_levels(text), "levels", python=write_levels(text))
        facts = [
            (f"**{label}**", escape_markdown(value)) for label, value in list_facts(Scheme.parse(text), row, profile)
        ]
        st.table(
            pd.DataFrame(facts, columns=["Fact", "Value"]),
            hide_index=True,
            hide_header=True,
            border="horizontal",
            alt=f"What {text} stores",
        )


def list_facts(scheme: Scheme, row: Row | None = None, profile: LayerProfile | None = None) -> list[tuple[str, str]]:
    """What a person asks of a format, as label and plain text: at scale 1, and on the layer of `row` and `profile`
    where there is one.

    Levels are relative to the scale; the range on a layer is that of its widest group, in the units of the weights.

    >>> dict(list_facts(Scheme.parse("mxfp4")))["Storage"]
    '4 bit a value + 8 bit a group=32'
    """
    levels = find_levels(scheme)
    code_bits, group_bits = scheme.storage_bits
    groups = profile.groups if profile else 1
    stored = f"{code_bits} bit a value" if code_bits else ""
    for bits, place in ((group_bits, f"a {scheme.grouping}"), (scheme.tensor_bits(groups), "once")):
        stored += f"{' + ' if stored else ''}{bits} bit {place}" if bits else ""
    spread = f"{levels.size:,} from {levels[0]:.6g} to {levels[-1]:.6g} at scale 1"
    facts = [("Levels", true_minus(f"{spread}, smallest positive {levels[levels > 0][0]:.6g}"))]
    if profile:
        where = " in the widest group" if groups > 1 else ""
        facts += [
            ("Range here", f"{true_minus(f'{profile.level_low:.4g} to {profile.level_high:.4g}')}{where} of this layer")
        ]
        stored += f": {row.bits_per_weight:.4g} bits per weight on this layer" if row and row.bits_per_weight else ""
    scales = f"{scheme.scale.name}{f', {groups:,} on this layer' if profile else ''}" if scheme.scale.bits else "none"
    return [
        *facts,
        ("Scales", scales),
        ("Storage", stored),
        ("Ragged rows", scheme.ragged),
        ("Rounding", scheme.format.element.own_rounding or str(scheme.rounding)),
        ("Equal bit for bit", scheme.peer or "no tool checked, with these words"),
    ]
