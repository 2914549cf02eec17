"""How is a number of page Converter typed?

In a box whose ends are those of the view's field, in the spelling of its kind; a frequency with any prefix.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from qanalysis.dashboard.converter.view import ConverterView
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.views import list_ends, list_rules
from qanalysis.dashboard.wording import escape_markdown


def draw_number(label: str, field: str, *, empty: str = "", place: Any = st, help: str | None = None) -> None:
    """A box for the view's field `field`, whose key is the field's name.

    `label` names the unit, `place` is the column or container to draw into. Numbers beyond the field's ends can not be
    typed; a field without ends takes any finite number. Real numbers are shown with as many digits as they have, up to
    six. `empty` is what an empty box of a number that need not be given says: what is taken instead.
    """
    rule = list_rules(ConverterView)[field]
    form = "%g" if rule.kind is float else None
    holds = {} if rule.number is None else {"value": None, "placeholder": empty}
    place.number_input(label, *list_ends(ConverterView, field), key=keep(field), format=form, help=help, **holds)


def draw_quantity(label: str, field: str, *, empty: str = "", place: Any = st, help: str | None = None) -> None:
    """A box for the view's field `field` of a text that its rule parses, such as "48 kHz".

    Other parameters as `draw_number` takes them. A text that means nothing counts as an empty box; it stays, and below
    it stands why.
    """
    text = place.text_input(label, key=keep(field), placeholder=empty, help=help)
    parse = list_rules(ConverterView)[field].parse
    if parse is not None and text.strip():
        try:
            parse(text)
        except ValueError as error:
            place.error(escape_markdown(str(error)), icon=":material/error:")
