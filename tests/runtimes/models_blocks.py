"""Blocks of well-known convolutional networks, as their exporters spell them out."""

from functools import partial

import catalogue
import numpy as np

# Each reaches more than 32 dB.
entry = partial(catalogue.entry, bound=27.0)


def hard_sigmoid(net, x):
    gate = net.relu6(net.node("Add", x, net.constant(3.0)))
    return net.node("Div", gate, net.constant(6.0))


def hard_swish(net, x):
    return net.node("Mul", x, hard_sigmoid(net, x))


@entry(name="mobilenet_v3_block", opset=13)
@entry(name="mobilenet_v3_block_17", opset=17)
def mobilenet_v3(net):
    """Squeeze and excitation with HardSwish and HardSigmoid, and a residual sum around them."""
    x = net.input([3, 12, 12])
    x = hard_swish(net, net.batch_norm(net.conv(x, 3, 8, bias=False), 8))
    for _ in range(2):
        inner = hard_swish(net, net.batch_norm(net.conv(x, 8, 16, kernel=1, bias=False), 16))
        inner = hard_swish(net, net.batch_norm(net.conv(inner, 16, 16, group=16, bias=False), 16))
        gate = net.node("ReduceMean", inner, axes=[2, 3])
        gate = net.node("Relu", net.conv(gate, 16, 8, kernel=1))
        inner = net.node("Mul", inner, hard_sigmoid(net, net.conv(gate, 8, 16, kernel=1)))
        x = net.node("Add", x, net.batch_norm(net.conv(inner, 16, 8, kernel=1, bias=False), 8))
    net.output(net.head(x, 8), [10])


@entry(name="dense_block", opset=13)
@entry(name="dense_block_21", opset=21)
def dense_net(net):
    """BatchNormalization behind each Concat, where no layer takes it in."""
    x = net.input([3, 10, 10])
    x = net.node("Relu", net.conv(x, 3, 8))
    channels = 8
    for _ in range(3):
        new = net.node("Relu", net.batch_norm(x, channels))
        new = net.node("Relu", net.batch_norm(net.conv(new, channels, 12, kernel=1, bias=False), 12))
        x = net.node("Concat", x, net.conv(new, 12, 4, bias=False), axis=1)
        channels += 4
    x = net.node("Relu", net.batch_norm(x, channels))
    x = net.node("AveragePool", net.conv(x, channels, 8, kernel=1), kernel_shape=[2, 2], strides=[2, 2])
    net.output(net.head(net.node("Relu", net.batch_norm(x, 8)), 8), [10])


@entry(name="detector_head", one_output=False)
@entry(name="detector_head_one_output", one_output=True)
def detector_head(net, one_output):
    """Boxes in pixels and scores below 1, for two sizes of cells, the way YOLO puts them together."""
    x = net.input([3, 16, 16])
    fine = net.node("Relu", net.conv(x, 3, 8))
    coarse = net.node("Relu", net.conv(fine, 8, 8, strides=[2, 2]))
    boxes, scores = [], []
    for feature, cells, stride in ((fine, 256, 8.0), (coarse, 64, 16.0)):
        inner = net.conv(feature, 8, 8)
        inner = net.node("Mul", inner, net.node("Sigmoid", inner))
        box = net.node("Reshape", net.conv(inner, 8, 4, kernel=1), net.ints(0, 4, cells))
        boxes.append(net.node("Mul", box, net.constant(stride)))
        scores.append(net.node("Reshape", net.conv(inner, 8, 5, kernel=1), net.ints(0, 5, cells)))
    anchors = net.constant(np.linspace(0, 127, 4 * 320).reshape(1, 4, 320))
    boxes = net.node("Add", net.node("Concat", *boxes, axis=2), anchors)
    scores = net.node("Sigmoid", net.node("Concat", *scores, axis=2))
    if one_output:
        net.output(net.node("Concat", boxes, scores, axis=1), [9, 320])
    else:
        net.output(boxes, [4, 320])
        net.output(scores, [5, 320])


@entry()
def convnext_block(net):
    """A depthwise Conv; channels last: LayerNormalization, two MatMul with a Gelu, a factor; a residual sum."""
    x = net.input([3, 8, 8])
    x = net.conv(x, 3, 8, kernel=1)
    for _ in range(2):
        inner = net.node("Transpose", net.conv(x, 8, 8, group=8), perm=[0, 2, 3, 1])
        inner = net.node("LayerNormalization", inner, net.constant(net.bias(8) + 1), net.constant(net.bias(8)))
        inner = net.node("Add", net.node("MatMul", inner, net.constant(net.weights(8, 32))), net.constant(net.bias(32)))
        error = net.node("Add", net.node("Erf", net.node("Div", inner, net.constant(2**0.5))), net.constant(1.0))
        inner = net.node("Mul", net.node("Mul", inner, error), net.constant(0.5))
        inner = net.node("Add", net.node("MatMul", inner, net.constant(net.weights(32, 8))), net.constant(net.bias(8)))
        inner = net.node("Mul", inner, net.constant(np.linspace(0.2, 1, 8)))
        x = net.node("Add", x, net.node("Transpose", inner, perm=[0, 3, 1, 2]))
    net.output(net.head(x, 8), [10])


def is_smoothed(case, _, quantized):
    """A value is scaled ahead of its QuantizeLinear, and what moves it then moves integers."""
    case.expect(any(node.name.endswith("_smooth") for node in quantized.graph.node), "nothing is smoothed")


@entry(policy="repairs: { refit: false }\n", also=is_smoothed)
def convnext_outliers(net):
    """The same by convolutions of one tap, where the normalization makes some channels many times as large as the others.

    Where they are not smoothed it reaches 7.4 dB."""
    x = net.input([3, 8, 8])
    x = net.conv(x, 3, 16, kernel=1)
    large = np.where(np.arange(16) % 6 == 2, 60.0, 1.0)
    inner = net.node("Transpose", net.conv(x, 16, 16, group=16, kernel=7), perm=[0, 2, 3, 1])
    inner = net.node("LayerNormalization", inner, net.constant(large), net.constant(net.bias(16)))
    weight = net.weights(64, 16, 1, 1) / large[:, None, None]
    inner = net.node("Transpose", inner, perm=[0, 3, 1, 2])
    inner = net.node("Conv", inner, net.constant(weight), net.constant(net.bias(64)))
    error = net.node("Add", net.node("Erf", net.node("Div", inner, net.constant(2**0.5))), net.constant(1.0))
    inner = net.node("Mul", net.node("Mul", inner, error), net.constant(0.5))
    net.output(net.conv(inner, 64, 16, kernel=1), [16, 8, 8])


@entry()
def u_net(net):
    """Down by MaxPool, up by ConvTranspose, what was there before put beside it."""
    x = net.input([3, 16, 16])
    above = net.node("Relu", net.conv(x, 3, 8))
    below = net.node("MaxPool", above, kernel_shape=[2, 2], strides=[2, 2])
    below = net.node("Relu", net.conv(below, 8, 16))
    weight = net.constant(net.weights(16, 8, 2, 2, fan_in=16))
    up = net.node("ConvTranspose", below, weight, net.constant(net.bias(8)), strides=[2, 2])
    x = net.node("Relu", net.conv(net.node("Concat", above, up, axis=1), 16, 8))
    net.output(net.node("Sigmoid", net.conv(x, 8, 1, kernel=1)), [1, 16, 16])


@entry()
def shuffle_block(net):
    """Channels split, one half computed, joined and shuffled by Reshape and Transpose."""
    x = net.input([3, 10, 10])
    x = net.node("Relu", net.conv(x, 3, 8))
    for _ in range(2):
        left, right = net.node("Split", x, net.ints(4, 4), outputs=2, axis=1)
        right = net.node("Relu", net.conv(right, 4, 4, kernel=1))
        right = net.node("Relu", net.conv(net.conv(right, 4, 4, group=4), 4, 4, kernel=1))
        x = net.node("Reshape", net.node("Concat", left, right, axis=1), net.ints(0, 2, 4, 10, 10))
        x = net.node("Reshape", net.node("Transpose", x, perm=[0, 2, 1, 3, 4]), net.ints(0, 8, 10, 10))
    net.output(net.head(x, 8), [10])
