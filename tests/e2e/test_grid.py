"""The heat map on a page of its own: nothing overlaps or is cut at any width, and every cell is within reach."""

from __future__ import annotations

import json
import zlib
from functools import cache

import numpy as np
import pytest

from qanalysis.charts.heat_map import heat_map
from qanalysis.charts.linked.modules import describe_looks, join_modules, read_styles
from qanalysis.charts.linked.scene import Panel, build_part, pack
from qanalysis.charts.palette import PALETTES
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.row import Row
from tests.e2e.conftest import FLAGS

GROUPS = ("tensor", "channel", "group=128", "group=32")
SCHEMES = [f"int{bits} {group}" for group in GROUPS for bits in range(2, 9)]
PARTS = ("attention.self.query", "attention.self.key", "attention.output.dense", "intermediate.dense", "output.dense")
ENCODER = [
    *(f"embeddings.{part}_embeddings.weight" for part in ("word", "position", "token_type")),
    *(f"encoder.layer.{block}.{part}.weight" for block in range(8) for part in PARTS),
    "pooler.dense.weight",
    "embeddings.position_ids",
]
LONG = [
    f"model.decoder.layers.{place // 5}.a_module_with_a_rather_long_name_of_its_own.{PARTS[place % 5]}.weight"
    for place in range(1000)
]
MANY = [
    f"int{bits} {group} {symmetry} range={rule}"
    for group in GROUPS
    for symmetry in ("sym", "asym", "sym-full")
    for rule in ("minmax", "mse:99", "percentile:99.9")
    for bits in range(2, 17)
]
FORMATS = [*SCHEMES, "nf4", "fp4_e2m1", "mxfp4", "nvfp4:one-level", "bfloat16"]
TABLES = {
    "encoder": (ENCODER, SCHEMES),
    "thousand": (LONG, SCHEMES),
    "many": (ENCODER[3:9], MANY),
    "formats": (["conv1", "fc"], FORMATS),
}
UNMEASURED = "dtype int64 does not hold real numbers"

SHOW = """([part, looks, width, theme]) => {
  const panel = Object.values(decodeArrays(JSON.parse(part)).panels)[0];
  window.picks = [];
  document.body.style.width = `${width}px`;
  window.grid = new Grid(document.getElementById("here"), { onPick: (told) => window.picks.push(told) });
  window.grid.show(panel, makeColours(JSON.parse(looks), theme));
}"""
# Boxes of the texts that match, as a person sees them.
BOXES = """(selector) => [...document.querySelectorAll(selector)].filter((element) => element.offsetParent && element.textContent).map((element) => {
  const range = document.createRange();
  range.selectNodeContents(element);
  const { left, right, top, bottom } = range.getBoundingClientRect();
  return { left, right, top, bottom, text: element.textContent };
})"""


parse = cache(Scheme.parse)


def make_row(tensor, text, value):
    scheme = parse(text)
    known = tensor != ENCODER[-1]
    return Row(
        tensor, "weight", "8x8", "float32", 36864, str(scheme), str(scheme.format), scheme.format.bits,
        str(scheme.grouping), "sym", "minmax", "float32",
        sqnr_db=value if known else None, status="ok" if known else "unsupported", reason="" if known else UNMEASURED,
    )  # fmt: skip


def make_part(tensors, schemes):
    noise = np.random.default_rng(0).normal(0, 3, (len(tensors), len(schemes))).tolist()
    rows = [
        make_row(tensor, scheme, 6 * (2 + column % 7) + noise[place][column])
        for place, tensor in enumerate(tensors)
        for column, scheme in enumerate(schemes)
    ]
    return zlib.decompress(pack(build_part([[Panel("heat", heat_map(rows, "sqnr_db"), kind="grid")]]))).decode(), rows


@pytest.fixture(scope="module")
def parts():
    return {name: make_part(*table) for name, table in TABLES.items()}


@pytest.fixture(scope="module")
def page(browser_path):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path, args=list(FLAGS), ignore_default_args=["--hide-scrollbars"]
        )
        opened = browser.new_page(viewport={"width": 1200, "height": 760})
        opened.set_content(
            f"<!doctype html><meta charset=utf-8><style>body{{margin:8px}}{read_styles()}</style>"
            f'<div class="ql-root"><div id="here"></div></div><script>{join_modules()}\n'
            "Object.assign(window, { Grid, makeColours, decodeArrays, recolour });</script>"
        )
        complaints = []
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        yield opened
        assert not complaints
        browser.close()


@pytest.fixture
def show(page, parts):
    """Draws a table at a width: `show("encoder", 560)`; returns its rows."""

    def draw(name, width=700, theme="light"):
        part, rows = parts[name]
        page.evaluate(SHOW, [part, json.dumps(describe_looks()), width, theme])
        return rows

    return draw


def value_of(rows, tensor, scheme):
    return next(row.sqnr_db for row in rows if (row.tensor, row.scheme) == (tensor, str(parse(scheme))))


def cell_centre(page, row, column):
    """The middle of a cell in pixels of the window, by its row among those in sight and its column."""
    return page.evaluate(
        """([row, column]) => {
          const { left, top } = document.querySelector(".heat-area").getBoundingClientRect();
          const { columns, height } = window.grid;
          return [left + columns.lefts[column] + columns.widths[column] / 2, top + (row + 0.5) * height];
        }""",
        [row, column],
    )


def overlap(one, other):
    """Whether two boxes share more than half a pixel either way, which rounding gives."""
    wide = min(one["right"], other["right"]) - max(one["left"], other["left"])
    return wide > 0.5 and min(one["bottom"], other["bottom"]) - max(one["top"], other["top"]) > 0.5


@pytest.mark.parametrize("width", [380, 560, 700, 1100])
@pytest.mark.parametrize("name", TABLES)
def test_no_text_overlaps_or_is_cut(page, show, name, width):
    show(name, width)
    for selector in (
        ".heat-group, .heat-tick",
        ".heat-label",
        ".heat-bar-ticks span",
        ".heat-scale > *, .ql-tools > *",
    ):
        boxes = page.evaluate(BOXES, selector)
        shown = boxes[:150]
        clashes = [
            (one["text"], two["text"]) for place, one in enumerate(shown) for two in shown[:place] if overlap(one, two)
        ]
        assert boxes
        assert not clashes, selector
    frame = page.evaluate(
        "(() => { const { left, right, width } = document.querySelector('.heat-box').getBoundingClientRect(); return { left, right, width }; })()"
    )
    assert frame["width"] == width
    for box in page.evaluate(BOXES, ".heat-label, .heat-scale *, .ql-tools > *, .heat-note"):
        assert frame["left"] - 0.5 <= box["left"], box
        assert box["right"] <= frame["right"] + 0.5, box
    labels = page.evaluate(BOXES, ".heat-label:not(.heat-open)")
    assert max(box["right"] for box in labels) - frame["left"] <= 0.4 * width
    assert page.evaluate("Math.min(...window.grid.columns.widths)") >= 8
    texts = [box["text"] for box in page.evaluate(BOXES, ".heat-group")]
    assert len(texts) == page.evaluate("window.grid.columns.groups.length")


def test_labels_of_a_block_keep_the_part_that_differs(page, show):
    show("thousand", 380)
    texts = page.evaluate("[...document.querySelectorAll('.heat-label')].slice(0, 7).map((label) => label.textContent)")
    assert texts[0] == "layers.0 (5)"
    assert texts[6] == "layers.1 (5)"
    assert len(set(texts)) == 7
    assert page.locator(".heat-note").inner_text() == "Names begin with “model.decoder.” and end in “.weight”."


def test_the_map_fits_the_screen_and_its_headings_stay(page, show):
    show("thousand", 560)
    before = page.evaluate(BOXES, ".heat-group")
    page.evaluate("document.querySelector('.heat-box').scrollTop = 9000")
    page.wait_for_function(
        "[...document.querySelectorAll('.heat-tile')].some((tile) => Number.parseFloat(tile.style.top) > 8500)"
    )
    assert page.evaluate(BOXES, ".heat-group") == before
    assert page.evaluate("document.querySelector('.heat-box').offsetHeight < window.innerHeight")
    assert page.evaluate("document.querySelectorAll('.heat-tile').length") <= 6


def test_a_click_picks_the_cell_at_every_size(page, show):
    for name, row, column in (("encoder", 5, 9), ("thousand", 8, 17), ("many", 4, 3), ("formats", 1, 30)):
        rows = show(name)
        page.mouse.click(*cell_centre(page, row, column))
        (picked,) = page.evaluate("window.picks")
        tensor = page.evaluate("(row) => window.grid.cells.layers[window.grid.rows[row].row].name", row)
        scheme = str(parse(TABLES[name][1][column]))
        if name == "formats":  # formats stand with the integers of their grouping
            scheme = page.evaluate("(column) => window.grid.cells.schemes[column].scheme", column)
        assert picked == {"layer": tensor, "scheme": scheme, "moving": False}
        told = page.locator(".heat-frame").get_attribute("aria-label")
        assert told == f"{tensor}, {scheme}, {value_of(rows, tensor, scheme):.2f} dB, 36,864 weights".replace(
            " -", " −"
        )
        frame, (x, y) = page.locator(".heat-frame").bounding_box(), cell_centre(page, row, column)
        assert abs(frame["x"] + frame["width"] / 2 - x) <= 1
        assert abs(frame["y"] + frame["height"] / 2 - y) <= 1


def test_hover_tells_the_whole_name_the_value_and_why_there_is_none(page, show):
    rows = show("encoder")
    page.mouse.move(*cell_centre(page, 1, 8))
    tip = page.locator(".heat-tip")
    value = value_of(rows, ENCODER[0], SCHEMES[8])
    assert tip.inner_text().split("\n") == [ENCODER[0], "int3 channel", f"{value:.2f} dB", "36,864 weights"]
    page.evaluate("document.querySelector('.heat-box').scrollTop = 1e6")
    # Scrolling takes the tip away, a frame later.
    tip.wait_for(state="hidden")
    last = page.evaluate("window.grid.rows.length - 1")
    page.mouse.move(*cell_centre(page, last, 0))
    assert tip.inner_text().split("\n") == [ENCODER[-1], "int2", f"no value: {UNMEASURED}", "36,864 weights"]


def test_keys_move_the_cell_in_view_and_skip_open_headings(page, show):
    show("encoder")
    page.evaluate(f"window.grid.select({ENCODER[2]!r}, 'int4')")
    page.locator(".heat-box").focus()

    def picked(keys):
        for key in keys.split():
            page.keyboard.press(key)
        told = page.evaluate("window.picks.at(-1)")
        assert page.locator(".heat-box").get_attribute("aria-activedescendant") == page.locator(
            ".heat-frame"
        ).get_attribute("id")
        return told["layer"], told["scheme"]

    assert picked("ArrowDown") == (ENCODER[3], "int4")
    assert picked("ArrowUp ArrowUp") == (ENCODER[1], "int4")
    assert picked("ArrowRight ArrowRight ArrowLeft") == (ENCODER[1], "int5")
    assert picked("End") == (ENCODER[1], "int8 group=32")
    assert picked("Home") == (ENCODER[1], "int2")
    assert picked("Control+End") == (ENCODER[-1], "int2")
    assert picked("Control+Home") == (ENCODER[0], "int2")
    layer, _ = picked("PageDown")
    assert 10 < ENCODER.index(layer) < len(ENCODER) - 1
    frame, box = page.locator(".heat-frame").bounding_box(), page.locator(".heat-box").bounding_box()
    assert box["y"] <= frame["y"]
    assert frame["y"] + frame["height"] <= box["y"] + box["height"]


def test_a_block_folds_to_its_worst_values_by_click_and_by_keyboard(page, show):
    rows = show("encoder")
    height = page.evaluate("window.grid.rows.length")
    page.get_by_text("encoder.layer.0 (5)").click()
    assert page.evaluate("window.grid.rows.length") == height - 5
    block = ENCODER[3:8]
    worst = min(block, key=lambda tensor: value_of(rows, tensor, SCHEMES[10]))
    page.mouse.click(*cell_centre(page, 4, 10))
    assert page.evaluate("window.picks.at(-1)") == {
        "layer": worst,
        "scheme": str(parse(SCHEMES[10])),
        "moving": False,
    }
    page.locator(".heat-box").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("window.grid.rows.length") == height
    assert page.evaluate("window.grid.chosen.index") == 5 + block.index(worst)
    page.keyboard.press("Space")
    assert page.evaluate("window.grid.rows.length") == height - 5


def test_all_blocks_fold_at_once(page, show):
    show("encoder")
    button = page.get_by_role("button", name="Fold blocks")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.evaluate("window.grid.rows.map((line) => line.block?.label ?? window.grid.cells.layers[line.row].label)") == [
        "embeddings", *(f"encoder.layer.{block}" for block in range(8)), "pooler.dense", "embeddings.position_ids",
    ]  # fmt: skip
    button.click()
    assert button.get_attribute("aria-pressed") == "false"


def test_cells_have_the_colours_of_the_figure_in_both_themes(page, show):
    for theme in ("light", "dark"):
        rows = show("encoder", 1100, theme)
        values = [row.sqnr_db for row in rows if row.sqnr_db is not None]
        for tensor, scheme in ((row.tensor, row.scheme) for row in rows if row.sqnr_db in (min(values), max(values))):
            seen = page.evaluate(
                """([tensor, scheme]) => {
                  const { row, column } = window.grid.cells.find(tensor, scheme);
                  const index = window.grid.rows.findIndex((line) => line.row === row);
                  window.grid.select(tensor, scheme);
                  window.grid.paint();
                  const { height, columns, tiles } = window.grid;
                  const canvas = tiles.drawn.get(Math.floor(index / tiles.perTile));
                  const scale = canvas.width / Number.parseFloat(canvas.style.width);
                  const [x, y] = [columns.lefts[column] + 2, (index % tiles.perTile) * height + 2];
                  return [...canvas.getContext("2d").getImageData(x * scale, y * scale, 1, 1).data.slice(0, 3)];
                }""",
                [tensor, scheme],
            )
            # The ends of viridis.
            assert seen == ([253, 231, 37] if value_of(rows, tensor, scheme) == max(values) else [68, 1, 84])


def test_hover_stays_quick_on_a_thousand_layers(page, show):
    show("thousand", 1100)
    spent = page.evaluate(
        """async () => {
          const box = document.querySelector(".heat-box");
          const { left, top, width, height } = box.getBoundingClientRect();
          const spent = [];
          for (let step = 0; step < 40; step += 1) {
            const start = performance.now();
            const at = { clientX: left + 0.5 * width + step * 4, clientY: top + 0.3 * height + step * 4, bubbles: true };
            box.dispatchEvent(new PointerEvent("pointermove", at));
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            spent.push(performance.now() - start);
          }
          return spent.sort((one, other) => one - other);
        }"""
    )
    # The median of 40 in ms, to the end of the frame: a busy machine delays a frame here and there, not half of them.
    assert spent[20] <= 60


def test_a_fold_and_the_scrolled_place_survive_a_redraw(page, show, parts):
    show("encoder")
    page.evaluate(f"window.grid.select({ENCODER[1]!r}, 'int4')")
    page.get_by_text("encoder.layer.1 (5)").click()
    page.evaluate("document.querySelector('.heat-box').scrollTop = 200")
    part, looks = parts["encoder"][0], json.dumps(describe_looks())
    redraw = """([part, looks, tensor]) => {
      window.grid.show(Object.values(decodeArrays(JSON.parse(part)).panels)[0], makeColours(JSON.parse(looks), "dark"));
      window.grid.select(tensor, "int4");
      return [window.grid.rows.filter((line) => line.folded).map((line) => line.block.label), window.grid.box.scrollTop];
    }"""
    assert page.evaluate(redraw, [part, looks, ENCODER[1]]) == [["encoder.layer.1"], 200]
    (_, top) = page.evaluate(redraw, [part, looks, ENCODER[0]])  # another cell is brought into sight
    assert top < 200


def test_the_stops_of_a_colour_scale_are_turned_dark_in_a_picture(page):
    light, dark = PALETTES["light"], PALETTES["dark"]
    turned = page.evaluate(
        "([looks, scale]) => recolour(scale, makeColours(JSON.parse(looks), 'dark'))",
        [json.dumps(describe_looks()), [[0, "rgba(0,0,0,0)"], [1, light.panel]]],
    )
    assert turned == [[0, "rgba(0,0,0,0)"], [1, dark.panel]]
