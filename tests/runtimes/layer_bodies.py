"""Models whose layers lie in bodies of Loop, Scan and If, for the check of `--layers`."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
WIDTH = 32


def info(name, dtype=FLOAT, shape=None):
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op_type, inputs, output, **attributes):
    return helper.make_node(op_type, inputs.split(), [output], name=f"{output}_node", **attributes)


def weights(seed, rows=WIDTH, columns=WIDTH):
    random = np.random.default_rng(seed)
    return random.normal(0, rows**-0.5, (rows, columns)).astype(np.float32)


def stored(**arrays):
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]


def model(name, nodes, constants, outputs, opset=17):
    inputs = [info("x", FLOAT, ["N", WIDTH])]
    graph = helper.make_graph(nodes, name, inputs, [info(o) for o in outputs], stored(**constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def scalars(**numbers):
    return {name: np.asarray(number, dtype) for name, (number, dtype) in numbers.items()}


def loop(condition=None, grows=False):
    """Multiplies and adds what is around it, four times; where there is a `condition`, as long as it holds."""
    going = [node("Identity", "going", "going_on")] if condition is None else condition
    nodes = [
        node("MatMul", "state w", "product"),
        node("Add", "product x", "sum"),
        node("Tanh", "sum", "next"),
        node("MatMul", "next v", "row"),
        *going,
    ]
    inputs = [info("turn", INT64, []), info("going", BOOL, []), info("state")]
    outputs = [info("going_on", BOOL, []), info("next"), info("row")]
    if grows:
        nodes.append(node("Concat", "all row", "longer", axis=0))
        inputs.append(info("all"))
        outputs.insert(2, info("longer"))
    body = helper.make_graph(nodes, "body", inputs, outputs, stored(w=weights(1), limit=np.float32(0.02)))
    made = ["last", *(["everything"] if grows else []), "rows"]
    states = ["x", *(["x"] if grows else [])]
    around = helper.make_node("Loop", ["turns", "", *states], made, name="loop", body=body)
    constants = {"v": weights(2), "u": weights(3), **scalars(turns=(4, np.int64))}
    return model("loop", [around, node("MatMul", "last u", "y")], constants, ["y", *made[1:]])


def loop_by_data():
    """Goes on while what it makes is large enough: after rounding that may be otherwise."""
    going = [
        node("Abs", "row", "magnitudes"),
        node("ReduceMax", "magnitudes", "largest", keepdims=0),
        node("Greater", "largest limit", "going_on"),
    ]
    return loop(going)


def steps():
    """What a Scan does with each part: two layers, one of the part and one of the state."""
    return [
        node("MatMul", "part w", "read"),
        node("MatMul", "state v", "kept"),
        node("Add", "read kept", "sum"),
        node("Tanh", "sum", "next"),
        node("Identity", "next", "shown"),
    ]


def scan():
    body = helper.make_graph(
        steps(), "step", [info("state"), info("part")], [info("next"), info("shown")], stored(w=weights(1, 8))
    )
    around = helper.make_node(
        "Scan", ["start", "parts"], ["last", "all"], name="scan", body=body, num_scan_inputs=1, scan_input_axes=[1],
        scan_input_directions=[1],
    )  # fmt: skip
    split = node("Reshape", "x shape", "parts")
    constants = {"v": weights(2), "start": np.zeros((1, WIDTH), np.float32), "shape": np.array([1, 4, 8])}
    return model("scan", [split, around], constants, ["last", "all"])


def old_scan():
    """The same in opset 8, where a Scan has batches: here of one."""
    rows = [1, WIDTH]
    inputs, outputs = [info("state", FLOAT, rows), info("part", FLOAT, [1, 8])], [info(o, FLOAT, rows) for o in ("next", "shown")]
    body = helper.make_graph(steps(), "step", inputs, outputs, stored(w=weights(1, 8), v=weights(2)))
    around = helper.make_node("Scan", ["", "start", "parts"], ["last", "all"], name="scan", body=body, num_scan_inputs=1)
    split = node("Reshape", "x shape", "parts")
    constants = {"start": np.zeros((1, 1, WIDTH), np.float32), "shape": np.array([1, 4, 1, 8])}
    return model("old_scan", [split, around], constants, ["last", "all"], opset=8)


def choice():
    """One layer or another, by the sign of a sum, within a Loop that runs twice."""

    def branch(name, weight):
        return helper.make_graph([node("MatMul", f"state {weight}", name)], name, [], [info(name)])

    nodes = [
        node("ReduceSum", "state", "total", keepdims=0),
        node("Greater", "total zero", "positive"),
        helper.make_node(
            "If", ["positive"], ["next"], name="choice", else_branch=branch("no", "v"), then_branch=branch("yes", "w")
        ),
        node("Identity", "going", "going_on"),
    ]
    inputs = [info("turn", INT64, []), info("going", BOOL, []), info("state")]
    body = helper.make_graph(nodes, "body", inputs, [info("going_on", BOOL, []), info("next")])
    around = helper.make_node("Loop", ["turns", "", "x"], ["y"], name="loop", body=body)
    constants = {"w": weights(1), "v": weights(2), **scalars(turns=(2, np.int64), zero=(0, np.float32))}
    return model("choice", [around], constants, ["y"])


def samples(seed, count=12):
    return {"x": np.random.default_rng(seed).normal(0, 1, (count, WIDTH)).astype(np.float32)}


BODIES = {
    "loop": loop,
    "loop-grows": lambda: loop(grows=True),
    "loop-by-data": loop_by_data,
    "scan": scan,
    "old-scan": old_scan,
    "choice": choice,
}
