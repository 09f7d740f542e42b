"""Layers in every number of dimensions, and with every attribute that changes which weights meet which inputs."""

import itertools
from functools import partial

import catalogue

# Each reaches more than 31 dB.
entry = partial(catalogue.entry, bound=27.0)


@entry(name="conv_3d", group=1)
@entry(name="conv_3d_depthwise", group=6)
def conv_3d(net, group):
    x = net.input([3, 6, 7, 8])
    x = net.node("Relu", net.node("Conv", x, net.constant(net.weights(6, 3, 3, 3, 3)), pads=[1] * 6))
    weight = net.constant(net.weights(6, 6 // group, 3, 3, 3))
    x = net.node("Conv", x, weight, net.constant(net.bias(6)), group=group, pads=[1] * 6)
    net.output(net.node("Conv", x, net.constant(net.weights(4, 6, 1, 1, 1))), [4, 6, 7, 8])


@entry(name="conv_1d_grouped", dilation=1)
@entry(name="conv_1d_dilated", dilation=4)
def conv_1d(net, dilation):
    """As in speech models: wide, far apart, and one filter for each channel."""
    x = net.input([4, 40])
    x = net.node("Relu", net.node("Conv", x, net.constant(net.weights(6, 4, 5)), pads=[2, 2]))
    weight = net.constant(net.weights(6, 2, 3))
    pads = [dilation, dilation]
    x = net.node("Relu", net.node("Conv", x, weight, group=3, dilations=[dilation], pads=pads))
    net.output(net.node("Conv", x, net.constant(net.weights(3, 6, 1)), net.constant(net.bias(3))), [3, 40])


@entry(name="conv_strided", strides=[2, 2])
@entry(name="conv_dilated", dilations=[2, 2], pads=[2] * 4)
@entry(name="conv_same_upper", auto_pad="SAME_UPPER", strides=[2, 2])
@entry(name="conv_one_sided_pads", pads=[0, 0, 2, 2])
@entry(name="conv_grouped", group=2)
def conv_2d(net, group=1, **attributes):
    x = net.input([4, 12, 12])
    x = net.node("Relu", net.conv(x, 4, 8))
    attributes.setdefault("pads" if "auto_pad" not in attributes else "strides", [1] * 4)
    x = net.node("Conv", x, net.constant(net.weights(8, 8 // group, 3, 3)), group=group, **attributes)
    size = 6 if "strides" in attributes else 12
    net.output(net.conv(x, 8, 4, kernel=1), [4, size, size])


@entry(name="conv_transpose_dilated", dilations=[2, 2], pads=[2] * 4)
@entry(name="conv_transpose_grouped_dilated", group=2, dilations=[2, 2], pads=[2] * 4)
@entry(name="conv_transpose_depthwise", group=6, pads=[1] * 4)
@entry(name="conv_transpose_strided_groups", group=3, strides=[2, 2], pads=[1] * 4, output_padding=[1, 1])
@entry(name="conv_transpose_bias", pads=[1] * 4, bias=True)
@entry(name="conv_transpose_groups_bias", group=2, pads=[1] * 4, bias=True)
def conv_transpose(net, group=1, bias=False, **attributes):
    x = net.input([4, 8, 8])
    x = net.node("Relu", net.conv(x, 4, 6))
    weight = net.constant(net.weights(6, 6 // group, 3, 3))
    rest = [net.constant(net.bias(6, size=1.0))] if bias else []
    x = net.node("ConvTranspose", x, weight, *rest, group=group, **attributes)
    size = 16 if "strides" in attributes else 8
    net.output(net.conv(net.node("Relu", x), 6, 3, kernel=1), [3, size, size])


@entry(name="conv_transpose_1d", dims=1)
@entry(name="conv_transpose_3d", dims=3)
def conv_transpose_of_rank(net, dims):
    """The last layer of a decoder: nothing behind it wants integers."""
    x = net.input([4] + [5] * dims)
    x = net.node("Relu", net.node("Conv", x, net.constant(net.weights(6, 4, *[3] * dims)), pads=[1] * 2 * dims))
    weight = net.constant(net.weights(6, 3, *[2] * dims, fan_in=6))
    x = net.node("ConvTranspose", x, weight, net.constant(net.bias(3)), strides=[2] * dims)
    net.output(x, [3] + [10] * dims)


def unlike_groups(case, original, quantized):
    """D5: a scale for each place in a group, so that channels a hundred times fainter keep their weights."""
    stored = {tensor.name: tensor for tensor in quantized.graph.initializer}
    makers = {name: node for node in quantized.graph.node for name in node.output}
    for node in quantized.graph.node:
        if node.op_type == "ConvTranspose":
            weight, bias = makers[node.input[1]], makers[node.input[2]]
            sizes = [list(stored[maker.input[1]].dims) for maker in (weight, bias)]
            case.expect(sizes == [[2], [6]], f"{node.name} has scales of shapes {sizes} for weight and bias")


@entry(name="d5_grouped_conv_transpose_of_unlike_channels", also=unlike_groups)
def grouped_conv_transpose(net):
    x = net.input([6, 8, 8])
    x = net.node("Relu", net.conv(x, 6, 6))
    weight = net.weights(6, 2, 3, 3)
    weight[:, 1] *= 0.01
    x = net.node("ConvTranspose", x, net.constant(weight), net.constant(net.bias(6) * 0.01), group=3)
    # Only the faint ones.
    x = net.node("Gather", x, net.ints(1, 3, 5), axis=1)
    net.output(net.node("Mul", x, net.constant(100.0)), [3, 10, 10])


def products(net, x, rank, features):
    """Both sides by a constant, then by each other."""
    heads = [2] * (rank - 3)
    right = net.node("MatMul", x, net.constant(net.weights(features, 12, fan_in=features)))
    left = net.node("MatMul", net.constant(net.weights(*heads, 9, 5, fan_in=5)), right)
    one = net.constant(net.weights(*[1] * (rank - 2), features, 12, fan_in=features))
    other = net.node("MatMul", x, one)
    return net.node("MatMul", left, net.node("Transpose", other, perm=[*range(rank - 2), rank - 1, rank - 2]))


@entry(name="matmul_rank_3", rank=3)
@entry(name="matmul_rank_4", rank=4)
def matmul_of_rank(net, rank):
    heads = [2] * (rank - 3)
    x = net.input([*heads, 5, 16])
    net.output(products(net, x, rank, 16), [*heads, 9, 5])


def gemm_forms():
    """Both factors either way round, by factors other than one, with every bias that broadcasts to [6, 10]."""
    biases = {"vector": (10,), "row": (1, 10), "column": (6, 1), "matrix": (6, 10), "one": (1,), "none": None}
    for a, b in itertools.product((0, 1), repeat=2):
        for name, shape in biases.items():
            yield f"gemm_{'t' if a else 'n'}{'t' if b else 'n'}_bias_{name}", a, b, shape


def gemm(net, a, b, shape):
    x = net.input([24, 6] if a else [6, 24])
    # Gemm wants matrices: the tests run one sample at a time.
    x = net.node("Squeeze", x, net.ints(0))
    weight = net.weights(10, 24)
    rest = [] if shape is None else [net.constant(net.bias(*shape, size=0.3))]
    weight = net.constant(weight if b else weight.T)
    x = net.node("Gemm", x, weight, *rest, transA=a, transB=b, alpha=0.5, beta=-2.0)
    x = net.node("Gemm", net.node("Relu", x), net.constant(net.weights(10, 8)), net.constant(net.bias(8)))
    net.output(net.node("Unsqueeze", x, net.ints(0)), [6, 8])


for name, a, b, shape in gemm_forms():
    entry(name=name, a=a, b=b, shape=shape)(gemm)


@entry(name="gemm_constant_first", a=0, b=0)
@entry(name="gemm_constant_first_transposed", a=1, b=1)
def gemm_constant_first(net, a, b):
    x = net.node("Squeeze", net.input([6, 24] if b else [24, 6]), net.ints(0))
    weight = net.weights(10, 24)
    bias = net.constant(net.bias(6, size=1.0))
    x = net.node("Gemm", net.constant(weight.T if a else weight), x, bias, transA=a, transB=b, alpha=0.5)
    x = net.node("MatMul", net.node("Relu", x), net.constant(net.weights(6, 4)))
    net.output(net.node("Unsqueeze", x, net.ints(0)), [10, 4])


@entry()
def computed_biases(net):
    """A bias that the model computes, as hypernetworks and conditional layers have."""
    x = net.input([3, 10, 10])
    squeezed = net.node("Squeeze", net.node("GlobalAveragePool", net.conv(x, 3, 6)), net.ints(0, 2, 3))
    weight = net.constant(net.weights(6, 3, 3, 3))
    x = net.node("Relu", net.node("Conv", x, weight, squeezed, pads=[1] * 4))
    net.output(net.conv(x, 6, 4, kernel=1), [4, 10, 10])


@entry(name="einsum_attention", left="bqhd,bkhd->bhqk", right="bhqk,bkhd->bqhd")
@entry(name="einsum_heads_first", left="bhqd,bhkd->bhqk", right="bhqk,bhkd->bhqd")
def einsum(net, left, right):
    x = net.input([5, 16])
    heads = left.startswith("bqh")

    def project():
        value = net.node("MatMul", x, net.constant(net.weights(16, 16)))
        value = net.node("Reshape", value, net.ints(0, 5, 2, 8))
        return value if heads else net.node("Transpose", value, perm=[0, 2, 1, 3])

    scores = net.node("Mul", net.node("Einsum", project(), project(), equation=left), net.constant(8**-0.5))
    x = net.node("Einsum", net.node("Softmax", scores, axis=-1), project(), equation=right)
    x = x if heads else net.node("Transpose", x, perm=[0, 2, 1, 3])
    x = net.node("Reshape", x, net.ints(0, 5, 16))
    net.output(net.node("MatMul", x, net.constant(net.weights(16, 8))), [5, 8])


@entry()
def einsum_by_weights(net):
    """A linear layer as an Einsum of a matrix with weights that are stored turned."""
    x = net.input([16])
    x = net.node("Relu", net.node("Einsum", x, net.constant(net.weights(12, 16)), equation="nc,oc->no"))
    net.output(net.node("Einsum", x, net.constant(net.weights(12, 8)), equation="nc,co->no"), [8])
