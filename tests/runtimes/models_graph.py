"""Graphs whose form, names or operator set is the difficulty, rather than their arithmetic."""

import numpy as np
from catalogue import entry
from net import BATCH
from onnx import TensorProto, helper, numpy_helper


@entry()
def movement(net):
    """Operators that only move numbers, each between two convolutions or within their reach."""
    x = net.input([3, 8, 8])
    x = net.node("Relu", net.conv(x, 3, 8))
    x = net.node("Reshape", x, net.ints(0, 4, 2, 8, 8))
    x = net.node("Reshape", net.node("Transpose", x, perm=[0, 2, 1, 3, 4]), net.ints(0, 8, 8, 8))
    x = net.conv(x, 8, 8)
    first, second = net.node("Split", x, net.ints(3, 5), outputs=2, axis=1)
    first = net.node("Slice", first, net.ints(1), net.ints(7), net.ints(2))
    second = net.node("Slice", second, net.ints(0), net.ints(6), net.ints(2))
    first, second = net.conv(first, 3, 4), net.conv(second, 5, 4)
    x = net.node("Gather", net.node("Concat", first, second, axis=1), net.ints(7, 0, 2, 5), axis=1)
    x = net.node("Flatten", net.conv(x, 4, 2))
    weight = net.constant(net.weights(10, 96))
    net.output(net.node("Gemm", x, weight, net.constant(net.bias(10)), transB=1), [10])


@entry()
def squeeze_and_unsqueeze(net):
    x = net.input([4, 20])
    x = net.node("Relu", net.conv(net.node("Unsqueeze", x, net.ints(3)), 4, 6))
    x = net.node("Squeeze", net.conv(x, 6, 4), net.ints(3))
    net.output(net.node("Conv", x, net.constant(net.weights(3, 4, 3)), pads=[1, 1]), [3, 20])


def behind_nodes(net, array, name):
    """A weight as some exporters leave it: a Constant node of doubles, behind a Cast and a Transpose."""
    order = tuple(reversed(range(array.ndim)))
    tensor = numpy_helper.from_array(np.ascontiguousarray(array.transpose(order)).astype(np.float64))
    x = net.node("Constant", name=name, value=tensor)
    return net.node("Transpose", net.node("Cast", x, to=TensorProto.FLOAT), perm=order)


def weights_are_integers(case, _, quantized):
    """Every weight is stored as int8, with a scale for each channel."""
    graph = quantized.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            maker = made_by.get(node.input[1])
            good = maker is not None and maker.op_type == "DequantizeLinear" and maker.input[0] in stored
            if case.expect(good, f"the weight of {node.name} is not stored as integers"):
                weight, scale = stored[maker.input[0]], stored[maker.input[1]]
                case.expect(weight.data_type == TensorProto.INT8, f"the weight of {node.name} is not int8")
                case.expect(len(scale.dims) == 1, f"the weight of {node.name} has one scale for all channels")


@entry(name="d9_weights_behind_nodes", also=weights_are_integers)
def weights_behind_nodes(net):
    x = net.input([3, 10, 10])
    weight = behind_nodes(net, net.weights(6, 3, 3, 3), "kernel")
    bias = net.node("Constant", name="bias", value_floats=[float(b) for b in net.bias(6)])
    x = net.node("Relu", net.node("Conv", x, weight, bias, pads=[1, 1, 1, 1]))
    x = net.node("Flatten", net.node("GlobalAveragePool", x))
    net.output(net.node("MatMul", x, behind_nodes(net, net.weights(6, 5), "matrix")), [5])


@entry(name="d3_names_we_would_write")
def names_we_would_write(net):
    """Every name that the converter likes to give belongs to something else already, some of it weights."""
    x = net.input([3, 10, 10])
    w = net.constant(net.weights(6, 3, 3, 3), name="w")
    w_scale = net.constant(net.bias(6, size=1.0), name="w_scale")
    x = net.node("Conv", x, w, w_scale, name="conv", pads=[1, 1, 1, 1])
    x = net.node("Mul", x, net.constant(net.bias(6, 1, 1, size=1.0), name="w_zero_point"), name="x_QuantizeLinear")
    x = net.node("Relu", x, name="w_DequantizeLinear")
    w_quantized = net.constant(net.weights(6, 6, 3, 3), name="w_quantized")
    x_scale = net.constant(net.bias(6), name="x_scale")
    x = net.node("Conv", x, w_quantized, x_scale, name="x_QuantizeLinear_Output", pads=[1, 1, 1, 1])
    x = net.node("Conv", x, net.constant(net.weights(4, 6, 1, 1), name="x_zero_point"), name="x_DequantizeLinear")
    net.output(x, [4, 10, 10])


def rename_values(model):
    """Gives the values in the middle the names that Q and DQ of the input would like."""
    names = {"conv_out": "x_QuantizeLinear_Output", "x_QuantizeLinear_out": "x_DequantizeLinear_Output"}
    for node in model.graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(name, name) for name in values]


# The same again with names of values, where a collision is a value made twice.
entry(name="d3_values_we_would_write", finish=rename_values)(names_we_would_write)


def clear_names(model):
    for node in model.graph.node:
        node.ClearField("name")


def defaults(model):
    """Makes every initializer an input too, whose default it then is, as older exporters did."""
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    model.ir_version = 3


@entry(name="nodes_without_names", finish=clear_names)
@entry(name="initializers_as_inputs", opset=11, finish=defaults)
def two_convs(net):
    x = net.input([3, 10, 10])
    net.output(net.conv(net.node("Relu", net.conv(x, 3, 6)), 6, 4), [4, 10, 10])


@entry(name="opset_11", opset=11)
@entry(name="opset_12", opset=12)
@entry(name="opset_13", opset=13)
@entry(name="opset_17", opset=17)
@entry(name="opset_21", opset=21)
def opsets(net):
    """Operators whose attributes became inputs in 13: Squeeze, Unsqueeze, Split, ReduceSum; and Softmax's axis."""
    late = net.opset >= 13

    def with_axes(op_type, value, *axes, **attributes):
        rest = [net.ints(*axes)] if late else []
        return net.node(op_type, value, *rest, **attributes, **({} if late else {"axes": axes}))

    x = net.input([3, 8, 8])
    x = net.relu6(net.batch_norm(net.conv(x, 3, 8, bias=False), 8))
    sizes = [net.ints(2, 6)] if late else []
    few, many = net.node("Split", x, *sizes, outputs=2, axis=1, **({} if late else {"split": [2, 6]}))
    x = net.node("Concat", net.conv(many, 6, 6), few, axis=1)
    x = net.node("MaxPool", net.conv(x, 8, 8), kernel_shape=[2, 2], strides=[2, 2])
    x = with_axes("Squeeze", with_axes("Unsqueeze", x, 1), 1)
    x = with_axes("ReduceSum", x, 2, 3, keepdims=0)
    x = net.node("Mul", x, net.constant(1 / 16))
    x = net.node("Gemm", x, net.constant(net.weights(10, 8)), net.constant(net.bias(10)), transB=1)
    net.output(net.node("Softmax", x, **({} if late else {"axis": 1})), [10])


@entry()
def output_also_used_inside(net):
    x = net.input([3, 10, 10])
    middle = net.node("Relu", net.conv(x, 3, 6))
    net.output(middle, [6, 10, 10])
    net.output(net.conv(middle, 6, 4), [4, 10, 10])


@entry()
def output_is_a_relu(net):
    x = net.input([3, 10, 10])
    net.output(net.node("Relu", net.conv(net.node("Relu", net.conv(x, 3, 6)), 6, 4)), [4, 10, 10])


@entry()
def two_outputs(net):
    """Boxes and scores: two outputs whose ranges have nothing in common."""
    x = net.input([3, 10, 10])
    x = net.node("Relu", net.conv(x, 3, 8))
    scores, boxes = net.conv(x, 8, 4), net.conv(x, 8, 4)
    net.output(net.node("Mul", boxes, net.constant(100.0)), [4, 10, 10])
    net.output(net.node("Sigmoid", scores), [4, 10, 10])


@entry()
def input_is_also_output_of_movement(net):
    """An output that is only moved around has no arithmetic to be quantized for."""
    x = net.input([3, 10, 10])
    net.output(net.node("Transpose", x, perm=[0, 2, 3, 1]), [10, 10, 3])
    net.output(net.conv(x, 3, 4), [4, 10, 10])


def capture(model):
    """Adds an If whose bodies use a value of the main graph, and which makes a second output."""
    graph = model.graph
    bodies = [
        helper.make_graph(
            [helper.make_node(op, ["relu_1_out"], [f"{op}_out"], name=op)],
            op,
            [],
            [helper.make_tensor_value_info(f"{op}_out", TensorProto.FLOAT, [BATCH, 6, 10, 10])],
        )
        for op in ("Neg", "Abs")
    ]
    graph.initializer.append(numpy_helper.from_array(np.array(0.0, np.float32), "zero"))
    graph.node.extend(
        [
            helper.make_node("ReduceMax", ["x"], ["largest"], name="largest", keepdims=0),
            helper.make_node("Greater", ["largest", "zero"], ["positive"], name="positive"),
            helper.make_node("If", ["positive"], ["chosen"], name="if", then_branch=bodies[0], else_branch=bodies[1]),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("chosen", TensorProto.FLOAT, [BATCH, 6, 10, 10]))


@entry(finish=capture)
def captured_by_an_if(net):
    x = net.input([3, 10, 10])
    middle = net.node("Relu", net.conv(x, 3, 6), name="relu_1")
    net.output(net.conv(middle, 6, 4), [4, 10, 10])


def unit_grids(case, _, quantized):
    """What comes out of Softmax and Sigmoid lies on the grid of 1/256 that NNAPI and XNNPACK insist on."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    makers = {name: node for node in quantized.graph.node for name in node.output}
    found = 0
    for node in quantized.graph.node:
        maker = makers.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        if maker is not None and maker.op_type in ("Softmax", "Sigmoid"):
            found += 1
            scale, zero = stored[node.input[1]], stored[node.input[2]]
            lowest = np.iinfo(zero.dtype).min
            good = scale == np.float32(1 / 256) and zero == lowest
            case.expect(good, f"behind {maker.op_type} the scale is {scale} and the zero point {zero}")
    case.expect(found > 0, "neither Softmax nor Sigmoid has a quantized output")


SIGNED = "activations: { type: int8, symmetric: false }\n"


@entry(name="d18_softmax_sigmoid_grid", also=unit_grids)
# On x86 ONNX Runtime turns int8 activations to uint8, but not those that several nodes read, as x here; a Conv between
# the two types stays float.
@entry(name="d18_softmax_sigmoid_grid_signed", also=unit_grids, policy=SIGNED, fused=False)
def softmax_and_sigmoid(net):
    x = net.input([3, 10, 10])
    gate = net.node("Sigmoid", net.conv(x, 3, 6))
    x = net.head(net.node("Mul", net.conv(x, 3, 6), gate), 6)
    net.output(net.node("Softmax", x, axis=-1), [10])


@entry()
def sigmoid_output(net):
    x = net.input([3, 10, 10])
    net.output(net.node("Sigmoid", net.conv(net.node("Relu", net.conv(x, 3, 6)), 6, 2)), [2, 10, 10])


def no_pair_before_a_clamp(case, _, quantized):
    """D20: no grid between a Conv and its activation, and none that spends integers on what the activation cuts off."""
    graph = quantized.graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("Relu", "Clip"):
            maker = makers.get(node.input[0])
            pair = maker is not None and maker.op_type == "DequantizeLinear"
            case.expect(not pair, f"{node.name} stands behind a pair of QuantizeLinear and DequantizeLinear")
    grids = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] != "x"]
    # The last one is the output's, which has negative values.
    for node in grids[:-1]:
        zero = stored[node.input[2]]
        case.expect(zero == 0, f"{node.name} has the zero point {zero}: it keeps room for values below zero")


@entry(name="d20_conv_and_activation_are_one", also=no_pair_before_a_clamp)
def conv_and_activation(net):
    x = net.input([3, 10, 10])
    x = net.relu6(net.conv(x, 3, 6))
    x = net.node("Relu", net.conv(x, 6, 6))
    net.output(net.conv(x, 6, 4), [4, 10, 10])


D4_SYMMETRIC = "activations: { type: int8, symmetric: true }\n"
D4_BY_RULE = 'rules: [{ match: { value: "relu_*" }, activations: { type: uint8, symmetric: true } }]\n'


@entry(name="d4_relu_kept_int8", policy=D4_SYMMETRIC)
@entry(name="d4_relu_kept_by_rule", policy=D4_BY_RULE)
def symmetric_activations(net):
    """A symmetric grid holds negatives, so a Relu has to stay, or its input be cut off elsewhere."""
    x = net.input([3, 10, 10])
    for channels in (3, 6):
        x = net.node("Relu", net.conv(x, channels, 6))
    net.output(net.head(net.relu6(net.conv(x, 6, 6)), 6), [10])


D7_UNSIGNED = "weights: { type: uint8, symmetric: false, granularity: per_tensor }\n"
D7_SIGNED = "weights: { type: int8, symmetric: true, granularity: per_tensor }\n"


@entry(name="d7_large_bias_unsigned_weights", policy=D7_UNSIGNED)
@entry(name="d7_large_bias_signed_weights", policy=D7_SIGNED)
@entry(name="d7_large_bias_per_channel")
def large_bias(net):
    """Weights so small that the bias, in steps of input scale times weight scale, passes 32 bits."""
    x = net.input([3, 10, 10])
    weight, bias = net.weights(4, 3, 3, 3) * 1e-10, net.bias(4, size=3.0)
    x = net.node("Conv", x, net.constant(weight), net.constant(bias), pads=[1, 1, 1, 1])
    net.output(net.node("Mul", x, net.constant(0.5)), [4, 10, 10])
