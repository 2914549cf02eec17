"""Constants of bodies and functions: each once, found where its name reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, NodeProto, helper, numpy_helper

from tests.checkpoints.graphs.models import body, find, function, list_uses, model, node, open_graph

W = np.arange(6, dtype=np.float32).reshape(2, 3)
V = W + 10


def names(graph: Any) -> list[str]:
    return [constant.name for constant in graph.constants]


def test_a_branch_sees_outer_names_and_shadows_them(tmp_path: Path) -> None:
    own = body([node("MatMul", ["x", "W"], ["o"])], {"W": V})
    outer = body([node("MatMul", ["x", "W"], ["o"])])
    graph = open_graph(
        tmp_path,
        model(
            [node("If", ["c"], ["y"], name="choice", then_branch=own, else_branch=outer)], {"W": W, "c": np.array(True)}
        ),
    )
    assert names(graph) == ["W", "c", "choice/then_branch/W"]
    assert list_uses(graph, "W") == [("MatMul", 1, "choice/else_branch")]
    assert list_uses(graph, "choice/then_branch/W") == [("MatMul", 1, "choice/then_branch")]
    np.testing.assert_array_equal(find(graph, "choice/then_branch/W").values.read(0, 6), V.reshape(-1))


def test_a_branch_inside_a_branch_sees_the_outermost(tmp_path: Path) -> None:
    inner = body([node("If", ["c"], ["o"], name="two", then_branch=body([node("MatMul", ["x", "W"], ["o"])]))])
    graph = open_graph(
        tmp_path, model([node("If", ["c"], ["y"], name="one", then_branch=inner)], {"W": W, "c": np.array(True)})
    )
    assert list_uses(graph, "W") == [("MatMul", 1, "one/then_branch/two/then_branch")]


def test_loops_hand_states_on_unless_they_change_them(tmp_path: Path) -> None:
    inside = body(
        [node("MatMul", ["h", "w"], ["h_out"]), node("Identity", ["w"], ["w_out"]), node("Identity", ["go"], ["on"])],
        inputs=["i", "go", "h", "w"],
        outputs=["on", "h_out", "w_out"],
    )
    graph = open_graph(
        tmp_path, model([node("Loop", ["", "", "H", "W"], ["y", "last"], body=inside)], {"H": W[:1, :2], "W": W})
    )
    assert list_uses(graph, "W") == [("MatMul", 1, "Loop_0/body"), ("Identity", 0, "Loop_0/body")]
    assert list_uses(graph, "H") == [("Loop", 2, "")]  # the first value of a state, no operand of the MatMul


def test_scans_hand_over_slices(tmp_path: Path) -> None:
    inside = body(
        [node("Add", ["s", "a"], ["t"]), node("Identity", ["s"], ["u"])], inputs=["s", "a"], outputs=["u", "t"]
    )
    graph = open_graph(
        tmp_path, model([node("Scan", ["S", "W"], ["v", "y"], body=inside, num_scan_inputs=1)], {"W": W, "S": W[0]})
    )
    assert list_uses(graph, "W") == [("Scan", 1, "")]
    assert list_uses(graph, "S") == [("Add", 0, "Scan_0/body"), ("Identity", 0, "Scan_0/body")]
    scope = graph.scopes[1]
    argument = scope.slice_of("a")
    assert argument is not None
    assert (argument.name, argument.axis) == ("W", 0)
    assert scope.constant("a") is None


def test_a_function_has_one_set_of_constants_and_a_scope_for_each_call(tmp_path: Path) -> None:
    lin = function(
        "Lin",
        ["a", "w"],
        [
            node("Constant", [], ["k"], value_float=2.0),
            node("Mul", ["w", "k"], ["m"]),
            node("MatMul", ["a", "m"], ["o"]),
        ],
    )
    calls = [node("Lin", ["x", "W"], ["t"], domain="local"), node("Lin", ["t", "V"], ["y"], domain="local")]
    graph = open_graph(tmp_path, model(calls, {"W": W, "V": V}, functions=[lin]))
    assert names(graph) == ["W", "V", "k"]
    assert list_uses(graph, "W") == list_uses(graph, "V") == [("Mul", 0, "local.Lin")]
    assert list_uses(graph, "k") == [("Mul", 1, "local.Lin")] * 2
    assert [scope.constant("w") for scope in graph.scopes[1:]] == [find(graph, "W"), find(graph, "V")]


def refer(made: NodeProto, name: str, to: str, kind: int) -> NodeProto:
    made.attribute.append(AttributeProto(name=name, ref_attr_name=to, type=kind))
    return made


def test_attributes_of_the_caller_reach_the_body(tmp_path: Path) -> None:
    turn = refer(node("Transpose", ["w"], ["t"]), "perm", "order", AttributeProto.INTS)
    fixed = refer(node("Constant", [], ["c"]), "value", "given", AttributeProto.TENSOR)
    lin = function(
        "Lin",
        ["w"],
        [turn, fixed, node("MatMul", ["t", "c"], ["o"])],
        attributes=["order", "given"],
        attribute_protos=[helper.make_attribute("axis", 7)],
    )
    given = numpy_helper.from_array(V, "inner")
    graph = open_graph(
        tmp_path,
        model([node("Lin", ["W"], ["y"], domain="local", order=[1, 0], given=given)], {"W": W}, functions=[lin]),
    )
    turned = graph.scopes[1].nodes[0]
    assert turned.attribute("perm") == [1, 0]
    assert turned.attribute("axis", 3) == 3
    assert graph.scopes[1].attributes["axis"].i == 7
    assert names(graph) == ["W", "c"]
    np.testing.assert_array_equal(find(graph, "c").values.read(0, 6), V.reshape(-1))
    assert list_uses(graph, "c") == [("MatMul", 1, "local.Lin")]


def test_functions_that_call_themselves_end_and_say_so(tmp_path: Path) -> None:
    again = function("Again", ["w"], [node("Again", ["w"], ["o"], domain="local")])
    graph = open_graph(tmp_path, model([node("Again", ["W"], ["y"], domain="local")], {"W": W}, functions=[again]))
    assert graph.notes == ["what lies inside local.Again was not looked into: too deep, or called too often"]
    assert list_uses(graph, "W") == [("local.Again", 0, "local.Again")]


def test_functions_that_double_at_each_level_are_bounded(tmp_path: Path) -> None:
    levels = [function("F0", ["w"], [node("Identity", ["w"], ["o"])])]
    for level in range(1, 40):
        name = f"F{level - 1}"
        levels.append(
            function(
                f"F{level}", ["w"], [node(name, ["w"], ["t"], domain="local"), node(name, ["t"], ["o"], domain="local")]
            )
        )
    graph = open_graph(tmp_path, model([node("F39", ["W"], ["y"], domain="local")], {"W": W}, functions=levels))
    assert len(graph.scopes) < 200_000
    assert graph.notes


VALUES = {
    "value_float": (2.5, (), "float32", [2.5]),
    "value_floats": ([1.0, -2.0], (2,), "float32", [1, -2]),
    "value_int": (3, (), "int64", [3]),
    "value_ints": ([4, 5], (2,), "int64", [4, 5]),
}


@pytest.mark.parametrize("form", VALUES)
def test_constant_nodes_of_bare_numbers(tmp_path: Path, form: str) -> None:
    given, shape, dtype, numbers = VALUES[form]
    graph = open_graph(tmp_path, model([node("Constant", [], ["c"], **{form: given}), node("Mul", ["x", "c"], ["y"])]))
    constant = find(graph, "c")
    assert (constant.shape, constant.dtype, constant.info.decodes) == (shape, dtype, dtype == "float32")
    assert constant.values.read(0, constant.info.numel).tolist() == numbers
    assert constant.info.size_bytes == len(numbers) * (4 if dtype == "float32" else 8)


def test_constant_nodes_of_text(tmp_path: Path) -> None:
    nodes = [
        node("Constant", [], ["one"], value_string="ab"),
        node("Constant", [], ["two"], value_strings=["a", "bcd"]),
    ]
    graph = open_graph(tmp_path, model(nodes))
    assert [(c.name, c.shape, c.dtype, c.info.decodes, c.info.size_bytes) for c in graph.constants] == [
        ("one", (), "string", False, 2),
        ("two", (2,), "string", False, 4),
    ]


def test_names_that_occur_twice_are_told_apart(tmp_path: Path) -> None:
    graph = open_graph(
        tmp_path,
        model(
            [node("MatMul", ["x", "w"], ["y"])],
            {"a": numpy_helper.from_array(W, "w"), "b": numpy_helper.from_array(V, "w")},
        ),
    )
    assert names(graph) == ["w", "w (2)"]
    assert list_uses(graph, "w") == [("MatMul", 1, "")]
    assert list_uses(graph, "w (2)") == []


def test_small_integers_can_be_asked_for(tmp_path: Path) -> None:
    graph = open_graph(tmp_path, model([], {"d": np.array([2, -1]), "f": W, "long": np.arange(65)}))
    assert find(graph, "d").find_integers() == (2, -1)
    assert find(graph, "f").find_integers() is None
    assert find(graph, "long").find_integers() is None
