"""Nets around single operators that have a form on integers, or move integers, each between two convolutions."""

import numpy as np
from catalogue import entry


def behind_conv(net):
    x = net.input([4, 8, 8])
    return net.node("Relu", net.conv(x, 4, 8))


def before_conv(net, value, channels, shape):
    net.output(net.conv(value, channels, 4), [4, *shape])


@entry(name="moved_by_depth_to_space", fused=False)
def depth_to_space(net):
    x = net.node("DepthToSpace", behind_conv(net), blocksize=2)
    before_conv(net, x, 2, [16, 16])


@entry(name="moved_by_space_to_depth", fused=False)
def space_to_depth(net):
    x = net.node("SpaceToDepth", behind_conv(net), blocksize=2)
    before_conv(net, x, 32, [4, 4])


@entry(name="moved_by_tile")
def tile(net):
    x = net.node("Tile", behind_conv(net), net.ints(1, 1, 2, 1))
    before_conv(net, x, 8, [16, 8])


@entry(name="moved_by_expand")
def expand(net):
    x = net.node("GlobalAveragePool", behind_conv(net))
    x = net.node("Expand", x, net.ints(1, 8, 4, 4))
    before_conv(net, x, 8, [4, 4])


@entry(name="moved_by_gather_elements")
def gather_elements(net):
    indices = net.random.integers(0, 8, (1, 8, 8, 8))
    x = net.node("GatherElements", behind_conv(net), net.constant(indices, dtype=np.int64), axis=3)
    before_conv(net, x, 8, [8, 8])


@entry(name="moved_by_gather_nd", fused=False)
def gather_nd(net):
    rows = net.constant([[[[2], [0], [5], [1]]]], dtype=np.int64)
    x = net.node("Transpose", behind_conv(net), perm=[0, 2, 1, 3])
    x = net.node("GatherND", x, net.node("Squeeze", rows, net.ints(1)), batch_dims=1)
    before_conv(net, net.node("Transpose", x, perm=[0, 2, 1, 3]), 8, [4, 8])


@entry(name="moved_by_reductions")
def reductions(net):
    x = behind_conv(net)
    largest = net.node("ReduceMax", x, axes=[2], keepdims=1)
    smallest = net.node("ReduceMin", x, axes=[2], keepdims=1)
    x = net.node("Concat", net.conv(largest, 8, 4), net.conv(smallest, 8, 4), axis=1)
    before_conv(net, x, 8, [1, 8])


@entry(name="moved_by_max_pool")
def max_pool(net):
    """Padding is no number: it must not win against the lowest integer."""
    x = net.node("MaxPool", net.conv(net.input([4, 8, 8]), 4, 8), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    before_conv(net, x, 8, [4, 4])


@entry(name="moved_by_split_of_which_a_part_is_unused", opset=13)
def unused_part(net):
    first, _, third = net.node("Split", behind_conv(net), net.ints(3, 1, 4), outputs=3, axis=1)
    net.output(net.conv(first, 3, 4), [4, 8, 8])
    net.output(net.conv(third, 4, 4), [4, 8, 8])


@entry(name="average_pool_that_counts_padding")
def average_pool(net):
    x = behind_conv(net)
    x = net.node("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)
    x = net.node("AveragePool", net.conv(x, 8, 8), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    before_conv(net, x, 8, [4, 4])


@entry(name="softmax_of_a_layer", fused=False)
@entry(name="softmax_of_a_layer_12", fused=False, opset=12)
def softmax(net):
    x = net.node("Softmax", net.conv(net.input([4, 8, 8]), 4, 8), axis=3)
    before_conv(net, x, 8, [8, 8])


@entry(name="where_of_two_layers", fused=False)
def where(net):
    x = net.input([4, 8, 8])
    mask = net.node("Greater", x, net.constant(0.0))
    x = net.node("Where", mask, net.conv(x, 4, 4), net.conv(x, 4, 4))
    before_conv(net, x, 4, [8, 8])


@entry(name="matmul_of_two_activations")
def attention(net):
    x = net.input([8, 16])
    query, key = (net.node("MatMul", x, net.constant(net.weights(16, 16, fan_in=16))) for _ in range(2))
    x = net.node("MatMul", query, net.node("Transpose", key, perm=[0, 2, 1]))
    net.output(net.node("MatMul", x, net.constant(net.weights(8, 4, fan_in=8))), [8, 4])


@entry(name="matmul_and_add")
@entry(name="matmul_and_add_row", row=True)
def matmul_and_add(net, row=False):
    x = net.input([16])
    x = net.node("MatMul", x, net.constant(net.weights(16, 12, fan_in=16)))
    x = net.node("Add", x, net.constant(net.bias(1, 12) if row else net.bias(12)))
    net.output(x, [12])


@entry(name="gemm_between_gemms")
def gemm(net):
    x = net.input([16])
    x = net.node("Gemm", x, net.constant(net.weights(12, 16)), net.constant(net.bias(12)), transB=1)
    x = net.node("Gemm", net.node("Relu", x), net.constant(net.weights(12, 8, fan_in=12)))
    net.output(net.node("Gemm", x, net.constant(net.weights(8, 4, fan_in=8)), net.constant(net.bias(4))), [4])


@entry(name="transposed_convolution_in_the_middle", fused=False)
def transposed(net):
    x = behind_conv(net)
    x = net.node("ConvTranspose", x, net.constant(net.weights(8, 4, 2, 2)), strides=[2, 2])
    before_conv(net, x, 4, [16, 16])
