"""Models of old opsets with bodies (If, Loop, Scan) and with functions of their own, for the list of `old_models`."""

import numpy as np
from onnx import AttributeProto, helper, numpy_helper
from old_models import BOOL, FLOAT, INT64, old, then_conv


def info(name, dtype=FLOAT, shape=None):
    return helper.make_tensor_value_info(name, dtype, shape)


def number(name, value, dtype):
    return numpy_helper.from_array(np.array(value, dtype), name)


def chosen(net, x, bodies):
    """An If that takes its first body: the mean of squares is above a number that it always is above."""
    mean = net.node("ReduceMean", net.node("Mul", x, x), keepdims=0)
    flag = net.node("Greater", mean, net.constant(-1.0))
    return net.node("If", flag, then_branch=bodies[0], else_branch=bodies[1])


def old_body(name, captured, more=()):
    """Operators whose form changed, on a value of the graph around."""
    nodes = [
        helper.make_node("Slice", [captured], [f"{name}_s"], starts=[1], ends=[7], axes=[3], name=f"{name}_slice"),
        helper.make_node("Pad", [f"{name}_s"], [f"{name}_p"], pads=[0, 0, 0, 1, 0, 0, 0, 1], value=0.25),
        helper.make_node("Clip", [f"{name}_p"], [f"{name}_c"], min=-0.5, max=0.5),
        helper.make_node("Unsqueeze", [f"{name}_c"], [f"{name}_u"], axes=[1]),
        helper.make_node("Squeeze", [f"{name}_u"], [f"{name}_q"], axes=[1]),
        helper.make_node("Softmax", [f"{name}_q"], [f"{name}_out"], axis=2),
        *more,
    ]
    output = f"{name}_last" if more else f"{name}_out"
    return helper.make_graph(nodes, name, [], [info(output)])


def plain_body(name, captured):
    return helper.make_graph([helper.make_node("Neg", [captured], [f"{name}_out"])], name, [], [info(f"{name}_out")])


@old(7, 9, name="if_bodies")
def if_bodies(net, x):
    x = net.conv(x, 6, 6)
    return then_conv(net, chosen(net, x, [old_body("then", x), plain_body("else", x)]))


@old(11, 12, name="if_bodies")
def if_bodies_11(net, x):
    x = net.conv(x, 6, 6)
    nodes = [
        helper.make_node("Unsqueeze", [x], ["then_u"], axes=[1]),
        helper.make_node("Squeeze", ["then_u"], ["then_q"], axes=[1]),
        helper.make_node("Softmax", ["then_q"], ["then_out"], axis=2),
    ]
    body = helper.make_graph(nodes, "then", [], [info("then_out")])
    return then_conv(net, chosen(net, x, [body, plain_body("else", x)]))


@old(7, name="if_in_if")
def if_in_if(net, x):
    """The inner bodies read a value two graphs out, and one of the body around them."""
    x = net.conv(x, 6, 6)
    bodies = {"then_branch": old_body("deep", "then_out"), "else_branch": plain_body("deeper", x)}
    inner = helper.make_node("If", ["flag"], ["then_last"], **bodies)
    flag = helper.make_node("Constant", [], ["flag"], value=number("", True, np.bool_))
    return then_conv(net, chosen(net, x, [old_body("then", x, more=[flag, inner]), plain_body("else", x)]))


@old(7, 11, name="loop_body", quantizable=False)
def loop_body(net, x):
    """Three times: clips what it is given, adds what is around, and hands out a slice of it."""
    x = net.conv(x, 6, 6)
    late = net.opset >= 11
    bounds = {"low": -2.0, "high": 1.5}
    limits = {} if late else {"min": bounds["low"], "max": bounds["high"]}
    clip = helper.make_node("Clip", ["state", *bounds] if late else ["state"], ["kept"], **limits)
    nodes = [
        clip,
        helper.make_node("Add", ["kept", x], ["sum"]),
        helper.make_node("ReduceSum", ["sum"], ["part"], axes=[2, 3], keepdims=0),
        helper.make_node("Identity", ["going"], ["going_on"]),
    ]
    inputs = [info("turn", INT64, []), info("going", BOOL, []), info("state")]
    outputs = [info("going_on", BOOL, []), info("sum"), info("part")]
    constants = [number(name, value, np.float32) for name, value in bounds.items()] if late else []
    body = helper.make_graph(nodes, "body", inputs, outputs, constants)
    turns, going = net.constant(3, dtype=np.int64), net.constant(True, dtype=np.bool_)
    last, parts = net.node("Loop", turns, going, x, outputs=2, body=body)
    return [then_conv(net, last), parts]


def running_sum(axis):
    """A step of a Scan: adds a row to the state, and hands out the state's part between two bounds."""
    nodes = [
        helper.make_node("Add", ["state", "row"], ["state_out"]),
        helper.make_node("Clip", ["state_out"], ["clipped"], min=-1.0, max=1.0),
        helper.make_node("Softmax", ["clipped"], ["row_out"], axis=axis),
    ]
    inputs, outputs = (
        [info(name, FLOAT, [6, 8]) for name in names] for names in (("state", "row"), ("state_out", "row_out"))
    )
    return helper.make_graph(nodes, "step", inputs, outputs)


@old(8, name="scan_of_samples")
@old(8, name="scan_of_samples_backwards", directions=[1])
def scan_of_samples(net, x, **attributes):
    """Before 9 the first axis was the batch's, and the second the one that is gone along."""
    x = net.node("Transpose", net.conv(x, 6, 6), perm=[0, 2, 1, 3])
    start = net.node("ReduceMax", x, axes=[1], keepdims=0)
    state, rows = net.node("Scan", "", start, x, outputs=2, body=running_sum(1), num_scan_inputs=1, **attributes)
    return [state, then_conv(net, rows, 8)]


@old(9, name="scan")
def scan(net, x):
    x = net.node("Squeeze", net.node("Transpose", net.conv(x, 6, 6), perm=[0, 2, 1, 3]), axes=[0])
    start = net.node("ReduceMax", x, axes=[0], keepdims=0)
    state, rows = net.node("Scan", start, x, outputs=2, body=running_sum(0), num_scan_inputs=1)
    return [state, then_conv(net, net.node("Unsqueeze", rows, axes=[0]), 8)]


# Functions.

OWN = "own.operators"


def referring(node, kind=AttributeProto.FLOAT, **references):
    """The node with attributes that are each another attribute of the call."""
    made = [AttributeProto(name=name, ref_attr_name=of, type=kind) for name, of in references.items()]
    node.attribute.extend(made)
    return node


def function(name, inputs, outputs, nodes, opset, attributes=(), defaults=(), **more):
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(OWN, 1)]
    return helper.make_function(OWN, name, inputs, outputs, nodes, imports, list(attributes), list(defaults), **more)


def scaled_clip(opset):
    """min(max(x, low), high) times a number, of which the call says `low` and may say `high`."""
    nodes = [
        referring(helper.make_node("Clip", ["x"], ["kept"]), min="low", max="high"),
        helper.make_node("Mul", ["kept", "factor"], ["y"]),
    ]
    defaults = [helper.make_attribute("high", 0.75)]
    return function("ScaledClip", ["x", "factor"], ["y"], nodes, opset, ["low"], defaults)


def twice(opset):
    """Calls the other function twice, and gives out a value from between as well."""
    nodes = [
        referring(helper.make_node("ScaledClip", ["x", "f"], ["first"], domain=OWN), low="low"),
        referring(helper.make_node("ScaledClip", ["first", "f"], ["second"], domain=OWN, high=0.5), low="low"),
        helper.make_node("Softmax", ["second"], ["soft"], axis=2),
    ]
    return function("Twice", ["x", "f"], ["soft", "first"], nodes, opset, ["low"])


def with_functions(*functions):
    def finish(model):
        model.ir_version = 10
        model.functions.extend(make(model.opset_import[0].version) for make in functions)
        model.opset_import.append(helper.make_opsetid(OWN, 1))

    return finish


@old(7, 9, name="function", finish=with_functions(scaled_clip), lacks="ScaledClip")
def calls(net, x):
    factor = net.constant([0.5])
    x = net.node("ScaledClip", net.conv(x, 6, 6), factor, domain=OWN, low=-0.5)
    return then_conv(net, net.node("ScaledClip", net.conv(x, 6, 6), factor, domain=OWN, low=-0.25, high=0.1))


@old(7, name="function_in_function", finish=with_functions(twice, scaled_clip), lacks="Twice")
def calls_twice(net, x):
    soft, first = net.node("Twice", net.conv(x, 6, 6), net.constant([0.5]), outputs=2, domain=OWN, low=-0.5)
    return then_conv(net, net.node("Add", soft, first))


def chooser(opset):
    """An If whose bodies read the function's input and one of its values, and use one name for two things."""
    branches = [
        helper.make_graph(
            [helper.make_node("Squeeze", ["tall"], ["inner"], axes=[1]), helper.make_node(kind, ["inner"], ["made"])],
            kind,
            [],
            [info("made")],
        )
        for kind in ("Tanh", "Neg")
    ]
    nodes = [
        helper.make_node("Unsqueeze", ["x"], ["tall"], axes=[1]),
        helper.make_node("If", ["flag"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    return function("Choose", ["x", "flag"], ["y"], nodes, opset)


@old(11, 12, name="function_with_bodies", finish=with_functions(chooser), lacks="Choose", quantizable=False)
def calls_with_bodies(net, x):
    flags = net.constant(True, dtype=np.bool_), net.constant(False, dtype=np.bool_)
    for flag in flags:
        x = net.node("Choose", net.conv(x, 6, 6), flag, domain=OWN)
    return then_conv(net, x)


def flat_sum(opset):
    """Written without references, so that it can be upgraded where it stands."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], axes=[3], keepdims=1),
        helper.make_node("Clip", ["x"], ["kept"]) if opset >= 11 else helper.make_node("Abs", ["x"], ["kept"]),
        helper.make_node("Add", ["sum", "kept"], ["y"]),
    ]
    return function("FlatSum", ["x"], ["y"], nodes, opset)


@old(9, 11, name="function_called_in_a_body", finish=with_functions(flat_sum), holds="FlatSum", quantizable=False)
def calls_in_a_body(net, x):
    x = net.conv(x, 6, 6)
    called = helper.make_node("FlatSum", [x], ["then_out"], domain=OWN)
    body = helper.make_graph([called], "then", [], [info("then_out")])
    return then_conv(net, chosen(net, x, [body, plain_body("else", x)]))


def modern(opset):
    nodes = [
        referring(helper.make_node("Softmax", ["x"], ["soft"]), AttributeProto.INT, axis="axis"),
        helper.make_node("Constant", [], ["half"], value=numpy_helper.from_array(np.array(0.5, np.float32))),
        helper.make_node("Mul", ["soft", "half"], ["y"]),
    ]
    return function("Modern", ["x"], ["y"], nodes, opset, ["axis"])


@old(13, 17, 21, name="function", finish=with_functions(modern), lacks="Modern")
def calls_modern(net, x):
    return then_conv(net, net.node("Modern", net.conv(x, 6, 6), domain=OWN, axis=2))
