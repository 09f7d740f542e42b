"""Convolutions and what stands around them in real networks."""

import numpy as np
from catalogue import entry


@entry()
def residual(net):
    """Conv, BatchNormalization and ReLU6, with a residual Add, as in MobileNetV2."""
    x = net.input([3, 16, 16])
    x = net.relu6(net.batch_norm(net.conv(x, 3, 12, bias=False), 12))
    for _ in range(2):
        inner = net.relu6(net.batch_norm(net.conv(x, 12, 12, bias=False), 12))
        x = net.node("Add", x, net.batch_norm(net.conv(inner, 12, 12, kernel=1, bias=False), 12))
    net.output(net.head(x, 12), [10])


@entry()
def depthwise(net):
    x = net.input([3, 16, 16])
    x = net.node("Relu", net.conv(x, 3, 8))
    x = net.node("Relu", net.conv(x, 8, 8, group=8))
    net.output(net.conv(x, 8, 6, kernel=1), [6, 16, 16])


@entry()
def conv_1d(net):
    x = net.input([4, 40])
    weight = net.constant(net.weights(6, 4, 5))
    x = net.node("Relu", net.node("Conv", x, weight, net.constant(net.bias(6)), pads=[2, 2]))
    net.output(net.node("Conv", x, net.constant(net.weights(3, 6, 1))), [3, 40])


@entry()
def conv_transpose_batch_norm(net):
    """The BatchNormalization can be folded, along the other axis of the weight than in a Conv."""
    x = net.input([4, 8, 8])
    x = net.node("Relu", net.conv(x, 4, 6))
    weight = net.constant(net.weights(6, 8, 3, 3, fan_in=24))
    x = net.node("ConvTranspose", x, weight, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    x = net.node("Relu", net.batch_norm(x, 8))
    net.output(net.conv(x, 8, 3, kernel=1), [3, 16, 16])


@entry(name="d5_grouped_conv_transpose")
def grouped_conv_transpose(net):
    """Six outputs of three groups: the weight is [6, 2, 3, 3], so that its axis 1 counts the channels of a group."""
    x = net.input([6, 8, 8])
    x = net.node("Relu", net.conv(x, 6, 6))
    weight = net.constant(net.weights(6, 2, 3, 3))
    x = net.node("ConvTranspose", x, weight, net.constant(net.bias(6)), group=3, pads=[1, 1, 1, 1])
    net.output(net.conv(net.node("Relu", x), 6, 3, kernel=1), [3, 8, 8])


@entry()
def pools(net):
    x = net.input([3, 16, 16])
    x = net.node("MaxPool", net.node("Relu", net.conv(x, 3, 8)), kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("AveragePool", net.conv(x, 8, 8), kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    x = net.node("AveragePool", net.conv(x, 8, 8), kernel_shape=[2, 2], strides=[2, 2])
    net.output(net.head(x, 8), [10])


@entry()
def concat_of_unlike_ranges(net):
    """One branch is forty times the other; what follows weighs both the same."""
    x = net.input([3, 12, 12])
    small = net.node("Relu", net.conv(x, 3, 4))
    weight = net.constant(net.weights(4, 3, 3, 3) * 40)
    large = net.node("Relu", net.node("Conv", x, weight, pads=[1, 1, 1, 1]))
    joined = net.node("Concat", small, large, axis=1)
    net.output(net.conv(joined, 8, 5, kernel=1), [5, 12, 12])


@entry()
def concat_of_unlike_ranges_moved(net):
    """A detector's: boxes in pixels and scores, transposed for the caller, who reads the scores, and for a layer."""
    x = net.input([3, 12, 12])
    scores = net.node("Relu", net.conv(x, 3, 4))
    weight = net.constant(net.weights(4, 3, 3, 3) * 400)
    boxes = net.node("Relu", net.node("Conv", x, weight, pads=[1, 1, 1, 1]))
    joined = net.node("Transpose", net.node("Concat", boxes, scores, axis=1), perm=[0, 2, 3, 1])
    net.output(net.node("Slice", joined, net.ints(4), net.ints(8), net.ints(3)), [12, 12, 4])
    net.output(net.node("MatMul", joined, net.constant(net.weights(8, 5))), [12, 12, 5])


@entry()
def resize_nearest(net):
    resize(net, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")


@entry()
def resize_linear(net):
    resize(net, mode="linear", coordinate_transformation_mode="half_pixel")


def resize(net, **attributes):
    x = net.input([3, 8, 8])
    x = net.node("Relu", net.conv(x, 3, 6))
    x = net.node("Resize", x, "", net.constant([1, 1, 2, 2]), **attributes)
    net.output(net.conv(x, 6, 4), [4, 16, 16])


@entry()
def pad_with_zero(net):
    pad(net, net.ints(0, 0, 1, 1, 0, 0, 1, 1), net.constant(0.0), mode="constant")


@entry()
def pad_with_one(net):
    """A number that no calibration sample of the padded value holds."""
    pad(net, net.ints(0, 0, 1, 1, 0, 0, 1, 1), net.constant(-9.0), mode="constant")


@entry()
def pad_reflect(net):
    pad(net, net.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")


@entry(opset=19)
def pad_wrap(net):
    pad(net, net.ints(0, 0, 2, -1, 0, 0, 0, 3), mode="wrap")


def pad(net, *inputs, **attributes):
    x = net.input([3, 10, 10])
    x = net.node("Relu", net.conv(x, 3, 6))
    x = net.node("Pad", x, *inputs, **attributes)
    net.output(net.conv(x, 6, 4, pads=[0, 0, 0, 0]), [4, 10, 10])


@entry()
def silu(net):
    """x * Sigmoid(x), as YOLO's exporters write it."""
    x = net.input([3, 12, 12])
    for channels in (3, 8, 8):
        x = net.conv(x, channels, 8)
        x = net.node("Mul", x, net.node("Sigmoid", x))
    net.output(net.head(x, 8), [10])


@entry()
def hard_swish(net):
    """x * Clip(x + 3, 0, 6) / 6, spelled out in full."""
    x = net.input([3, 12, 12])
    for channels in (3, 8):
        x = net.conv(x, channels, 8)
        gate = net.relu6(net.node("Add", x, net.constant(3.0)))
        x = net.node("Div", net.node("Mul", x, gate), net.constant(6.0))
    net.output(net.head(x, 8), [10])


@entry()
def hard_sigmoid_and_leaky_relu(net):
    x = net.input([3, 12, 12])
    x = net.node("LeakyRelu", net.conv(x, 3, 8), alpha=0.1)
    x = net.node("Mul", x, net.node("HardSigmoid", net.conv(x, 8, 8, kernel=1), alpha=1 / 6, beta=0.5))
    net.output(net.head(x, 8), [10])


@entry()
def squeeze_and_excitation(net):
    """A Mul that broadcasts [N, C, 1, 1] over [N, C, H, W]."""
    x = net.input([3, 12, 12])
    x = net.node("Relu", net.conv(x, 3, 8))
    gate = net.node("Relu", net.conv(net.node("GlobalAveragePool", x), 8, 4, kernel=1))
    gate = net.node("Sigmoid", net.conv(gate, 4, 8, kernel=1))
    net.output(net.conv(net.node("Mul", x, gate), 8, 5), [5, 12, 12])


@entry(name="d21_dead_channel")
def dead_channel(net):
    """A channel without weights, or with hardly any: its scale is as small as scales get, and its bias does not fit."""
    x = net.input([3, 12, 12])
    weight, bias = net.weights(6, 3, 3, 3), net.bias(6)
    weight[2], bias[2] = 0, 5.0
    weight[4], bias[4] = weight[4] * 1e-9, -4.0
    x = net.node("Conv", x, net.constant(weight), net.constant(bias), pads=[1, 1, 1, 1])
    net.output(x, [6, 12, 12])


# ONNX Runtime 1.31.1 cannot load it with session.x64quantprecision: it converts the shared weight twice, to one name.
@entry(name="d15_shared_weight_and_bias", scale={"x": 1.0, "y": 30.0}, kernels=False)
def shared_weight_and_bias(net):
    """One weight and one bias, two inputs whose scales differ: the integer bias cannot be the same for both."""
    x, y = net.input([4, 10, 10]), net.input([4, 10, 10], name="y")
    weight, bias = net.constant(net.weights(5, 4, 3, 3)), net.constant(net.bias(5, size=1.0))
    left, right = (net.node("Conv", value, weight, bias, pads=[1, 1, 1, 1]) for value in (x, y))
    net.output(left, [5, 10, 10])
    net.output(right, [5, 10, 10])


@entry(name="d15_weight_and_something_else")
def weight_and_something_else(net):
    """A weight that is also added to a value, and a bias that is also multiplied with one."""
    x = net.input([5])
    weight, bias = net.constant(net.weights(5, 5)), net.constant(net.bias(5, size=1.0))
    x = net.node("Gemm", x, weight, bias)
    x = net.node("Add", net.node("Mul", x, bias), net.node("Gather", weight, net.constant(1, dtype=np.int64), axis=0))
    net.output(net.node("Gemm", x, net.constant(net.weights(5, 5)), bias), [5])
