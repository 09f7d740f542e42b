"""One operator between two convolutions: the grids around it, its own kernel or the lack of one."""

import numpy as np
from catalogue import entry


def between(net, operate, channels=8, size=8):
    """Conv, Relu, the operator, Conv. `channels` come out of the operator, `size` positions a side."""
    x = net.input([3, 8, 8])
    x = operate(net, net.node("Relu", net.conv(x, 3, 8)))
    net.output(net.conv(x, channels, 4, kernel=1), [4, size, size])


def signed(net, operate, channels=8):
    """The same with numbers of both signs, and the input of the operator read by another layer as well."""
    x = net.input([3, 8, 8])
    x = net.conv(x, 3, 8)
    x = net.node("Add", net.conv(operate(net, x), channels, 8, kernel=1), net.conv(x, 8, 8))
    net.output(net.conv(x, 8, 4, kernel=1), [4, 8, 8])


def simple(op_type, *constants, **attributes):
    return lambda net, x: net.node(op_type, x, *(net.constant(c) for c in constants), **attributes)


PER_CHANNEL = np.linspace(0.5, 2, 8, dtype=np.float32).reshape(8, 1, 1)

for name, operate in {
    "sub_constant": simple("Sub", PER_CHANNEL),
    "sub_from_constant": lambda net, x: net.node("Sub", net.constant(PER_CHANNEL), x),
    "sub_of_two": lambda net, x: net.node("Sub", x, net.conv(x, 8, 8)),
    "div_constant": simple("Div", PER_CHANNEL),
    "div_of_two": lambda net, x: net.node("Div", x, net.node("Add", net.node("Exp", x), net.constant(1.0))),
    "pow": simple("Pow", 2.0),
    "sqrt": lambda net, x: net.node("Sqrt", net.node("Add", x, net.constant(0.01))),
    "min_constant": simple("Min", 1.0),
    "max_of_two": lambda net, x: net.node("Max", x, net.conv(x, 8, 8)),
    "min_of_three": lambda net, x: net.node("Min", x, net.conv(x, 8, 8), net.constant(PER_CHANNEL)),
    "mean_of_channels": lambda net, x: net.node("Mul", x, net.node("ReduceMean", x, axes=[1])),
    "sum_of_positions": lambda net, x: net.node("Mul", x, net.node("ReduceSum", x, net.ints(2, 3))),
    "max_of_channels": lambda net, x: net.node("Mul", x, net.node("ReduceMax", x, axes=[1])),
    "max_of_positions": lambda net, x: net.node("Mul", x, net.node("GlobalMaxPool", x)),
    "mean_of_positions": lambda net, x: net.node("Mul", x, net.node("ReduceMean", x, axes=[2, 3])),
    "hard_sigmoid": simple("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hard_swish": simple("HardSwish"),
    "tanh": simple("Tanh"),
    "elu": simple("Elu", alpha=0.7),
    "selu": simple("Selu"),
    "softplus": simple("Softplus"),
    "leaky_relu": simple("LeakyRelu", alpha=0.2),
    "p_relu": lambda net, x: net.node("PRelu", x, net.constant(net.bias(8, 1, 1, size=0.3))),
    "erf": simple("Erf"),
    "exp": lambda net, x: net.node("Exp", net.node("Mul", x, net.constant(0.25))),
    "abs_and_neg": lambda net, x: net.node("Neg", net.node("Abs", x)),
    "clip_of_both_signs": simple("Clip", -0.5, 0.75),
    "softmax_of_channels": simple("Softmax", axis=1),
    "log_softmax": simple("LogSoftmax", axis=1),
    "instance_normalization": lambda net, x: net.node(
        "InstanceNormalization", x, net.constant(net.bias(8, size=0.5) + 1), net.constant(net.bias(8))
    ),
    "lp_normalization": simple("LpNormalization", axis=1, p=2),
    "batch_normalization_of_a_sum": lambda net, x: net.batch_norm(net.node("Add", x, net.conv(x, 8, 8)), 8),
    "layer_normalization_of_positions": lambda net, x: net.node(
        "LayerNormalization", x, net.constant(net.bias(8, 8) + 1), net.constant(net.bias(8, 8)), axis=-2
    ),
}.items():
    entry(name=f"between_{name}", bound=26.0, operate=operate)(between)
    # There is no root of negative numbers.
    if name != "sqrt":
        entry(name=f"signed_{name}", bound=22.0, operate=operate)(signed)

for name, opset, operate in [
    ("gelu", 20, simple("Gelu")),
    ("gelu_tanh", 20, simple("Gelu", approximate="tanh")),
    ("mish", 18, simple("Mish")),
    ("hard_swish_13", 13, lambda net, x: net.node("Mul", x, net.node("HardSigmoid", x, alpha=1 / 6, beta=0.5))),
    ("mean_of_positions_18", 18, lambda net, x: net.node("Mul", x, net.node("ReduceMean", x, net.ints(-1, -2)))),
    ("max_of_positions_18", 18, lambda net, x: net.node("Mul", x, net.node("GlobalMaxPool", x))),
    (
        "group_normalization",
        21,
        lambda net, x: net.node(
            "GroupNormalization", x, net.constant(net.bias(8) + 1), net.constant(net.bias(8)), num_groups=2
        ),
    ),
    ("layer_normalization", 17, lambda net, x: channels_last(net, x)),
]:
    entry(name=f"signed_{name}", opset=opset, bound=26.0, operate=operate)(signed)


def channels_last(net, x):
    """As in ConvNeXt."""
    x = net.node("Transpose", x, perm=[0, 2, 3, 1])
    scale, shift = net.constant(net.bias(8) + 1), net.constant(net.bias(8))
    return net.node("Transpose", net.node("LayerNormalization", x, scale, shift), perm=[0, 3, 1, 2])


@entry(name="where", constant=False)
@entry(name="where_constant", constant=True)
def where(net, constant):
    x = net.input([3, 8, 8])
    condition = net.node("Greater", net.node("ReduceMax", x, axes=[1]), net.constant(0.5))
    x = net.node("Relu", net.conv(x, 3, 8))
    other = net.constant(0.25) if constant else net.conv(x, 8, 8)
    net.output(net.conv(net.node("Where", condition, x, other), 8, 4), [4, 8, 8])


def pad(net, x, mode, opset_13_value=None):
    rest = [] if opset_13_value is None else [net.constant(opset_13_value)]
    return net.node("Pad", x, net.ints(0, 0, 1, 2, 0, 0, 3, 2), *rest, mode=mode)


for name, opset, operate in [
    ("pad_edge", 13, lambda net, x: pad(net, x, "edge")),
    ("pad_reflect", 18, lambda net, x: pad(net, x, "reflect")),
    ("pad_constant", 21, lambda net, x: pad(net, x, "constant", 0.0)),
]:
    entry(name=f"between_{name}", opset=opset, bound=26.0, operate=operate, size=12)(between)


def split(net, x, **attributes):
    first, second = net.node("Split", x, outputs=2, axis=1, **attributes)
    return net.node("Concat", net.conv(second, 4, 4), first, axis=1)


def slice_steps(net, x):
    """Rows from the last to the first, every second one; columns from the first on."""
    return net.node("Slice", x, net.ints(7, 0), net.ints(-9, 8), net.ints(2, 3), net.ints(-2, 2))


def top_two(net, x):
    values, _ = net.node("TopK", x, net.ints(2), outputs=2, axis=1)
    return values


def grid_sample(net, x, mode):
    grid = net.node("Tanh", net.node("Transpose", net.conv(x, 8, 2), perm=[0, 2, 3, 1]))
    return net.node("GridSample", x, grid, mode=mode, align_corners=1)


for name, opset, operate, channels, size in [
    ("split_in_halves", 13, split, 8, 8),
    ("split_in_halves_18", 18, lambda net, x: split(net, x, num_outputs=2), 8, 8),
    ("slice_steps", 17, slice_steps, 8, 4),
    ("gather_channels", 17, lambda net, x: net.node("Gather", x, net.ints(7, 0, 3), axis=1), 3, 8),
    ("depth_to_space", 17, simple("DepthToSpace", blocksize=2, mode="DCR"), 2, 16),
    ("depth_to_space_columns", 17, simple("DepthToSpace", blocksize=2, mode="CRD"), 2, 16),
    ("space_to_depth", 17, simple("SpaceToDepth", blocksize=2), 32, 4),
    ("tile", 17, lambda net, x: net.node("Tile", x, net.ints(1, 2, 1, 1)), 16, 8),
    ("top_k", 17, top_two, 2, 8),
    ("grid_sample", 17, lambda net, x: grid_sample(net, x, "bilinear"), 8, 8),
    ("grid_sample_20", 20, lambda net, x: grid_sample(net, x, "linear"), 8, 8),
]:
    entry(name=f"between_{name}", opset=opset, operate=operate, channels=channels, size=size)(between)


@entry()
def expand(net):
    """A value for each channel, made as large as the image and put beside it."""
    x = net.input([3, 8, 8])
    x = net.node("Relu", net.conv(x, 3, 8))
    pooled = net.node("Expand", net.conv(net.node("GlobalAveragePool", x), 8, 8, kernel=1), net.ints(1, 8, 8, 8))
    net.output(net.conv(net.node("Concat", x, pooled, axis=1), 16, 4), [4, 8, 8])


# ONNX Runtime does not load an integer Conv beside a cubic Resize, so that the one behind it stays float.
@entry(fused=False)
def resize_cubic(net):
    x = net.input([3, 8, 8])
    x = net.node("Relu", net.conv(x, 3, 8))
    x = net.node("Resize", x, "", net.constant([1, 1, 2, 2]), mode="cubic")
    net.output(net.conv(x, 8, 4, kernel=1), [4, 16, 16])
