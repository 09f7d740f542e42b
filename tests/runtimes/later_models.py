"""Models of opsets 13 to 20, for the list of `old_models`: operators whose form or meaning changed after 13, and others that
only came to allow more."""

import numpy as np
from old_bodies import OWN, chosen, function, info, plain_body, referring, with_functions
from old_models import FLOAT, REDUCTIONS, old, statistics, then_conv
from onnx import AttributeProto, helper

# Axes that became an input.


@old(13, 17, name="reductions_of_axes", axes=[2, 3])
@old(13, name="reductions_of_axes_from_the_end", axes=[-1], keepdims=0)
@old(13, name="reductions_of_all")
@old(13, name="reductions_of_no_axes", empty=[AttributeProto(name="axes", type=AttributeProto.INTS)])
def reductions(net, x, empty=(), **attributes):
    """Of few positions, so that the products and sums stay within reach."""
    x = net.node("Sigmoid", net.conv(x, 6, 2, kernel=1))
    x = net.node("AveragePool", x, kernel_shape=[4, 4], strides=[4, 4])
    made = [net.node(f"Reduce{kind}", x, **attributes) for kind in REDUCTIONS]
    for node in net.nodes[-len(made) :]:
        node.attribute.extend(empty)
    return made


@old(18, 20, name="reductions_of_an_input")
def reductions_of_an_input(net, x):
    x = net.node("Sigmoid", then_conv(net, x))
    return [net.node("ReduceMean", x, net.ints(2, 3)), net.node("ReduceMax", x, noop_with_empty_axes=1)]


@old(17, name="dft", quantizable=False)
@old(17, name="dft_of_an_axis", axis=2, quantizable=False)
@old(17, name="dft_one_sided", onesided=1, quantizable=False)
@old(17, name="dft_of_a_length", length=5, axis=-2, quantizable=False)
def dft(net, x, length=None, **attributes):
    x = net.node("Unsqueeze", net.conv(x, 6, 2), net.ints(4))
    rest = [] if length is None else [net.constant(length, dtype=np.int64)]
    return net.node("DFT", x, *rest, **attributes)


# What is left out, and other words for the same.


@old(13, 17, name="split_into_equal_parts", holds="Split")
def split_into_equal_parts(net, x):
    first, second, third = net.node("Split", x, outputs=3, axis=1)
    return then_conv(net, net.node("Concat", net.node("Mul", first, third), net.conv(second, 2, 4), axis=1))


@old(13, name="split_into_sizes", holds="Split")
def split_into_sizes(net, x):
    few, many = net.node("Split", x, net.ints(2, 4), outputs=2, axis=1)
    return then_conv(net, net.node("Concat", net.conv(many, 4, 4), few, axis=1))


@old(16, 19, name="grid_sample", quantizable=False)
@old(16, name="grid_sample_bilinear", mode="bilinear", align_corners=1, quantizable=False)
@old(16, name="grid_sample_bicubic", mode="bicubic", padding_mode="border", quantizable=False)
@old(16, name="grid_sample_nearest", mode="nearest", padding_mode="reflection", quantizable=False)
def grid_sample(net, x, **attributes):
    """Where to look depends on the picture."""
    places = net.node("Tanh", net.conv(x, 6, 2, bias=False))
    if attributes.get("mode") == "nearest":
        # Between two pixels the last bit would decide.
        places = net.node("Mul", net.node("Sign", places), net.constant(0.3))
    grid = net.node("Transpose", places, perm=[0, 2, 3, 1])
    return then_conv(net, net.node("GridSample", x, grid, **attributes))


@old(10, 13, 15, name="roi_align", newest=21, quantizable=False)
@old(13, name="roi_align_max", mode="max", newest=21, quantizable=False)
@old(16, name="roi_align", newest=21, quantizable=False)
@old(16, name="roi_align_half", coordinate_transformation_mode="output_half_pixel", newest=21, quantizable=False)
def roi_align(net, x, **attributes):
    """Regions of the first picture."""
    regions = net.constant([[0, 0, 5, 6], [1, 2, 7, 7.5]])
    pictures = net.ints(0, 0)
    return then_conv(net, net.node("RoiAlign", x, regions, pictures, output_height=3, output_width=2, **attributes))


# Normalizations.


@old(9, 13, name="batch_norm_in_training", quantizable=False)
def batch_norm_in_training(net, x):
    """Before 14 its outputs told that it is one."""
    numbers = statistics(net, 6)
    y, mean, variance, *_ = net.node("BatchNormalization", x, *numbers, outputs=5, momentum=0.8)
    return [then_conv(net, y), mean, variance]


@old(14, 15, name="batch_norm_in_training_told", quantizable=False)
def batch_norm_in_training_told(net, x):
    y, mean, variance = net.node("BatchNormalization", x, *statistics(net, 6), outputs=3, training_mode=1)
    return [then_conv(net, y), mean, variance]


WITHDRAWN = range(18, 21)


@old(18, 20, name="group_norm", withdrawn=WITHDRAWN)
@old(18, name="group_norm_epsilon", withdrawn=WITHDRAWN, epsilon=0.1)
@old(18, name="group_norm_of_channels", withdrawn=WITHDRAWN, groups=6)
def group_norm(net, x, groups=3, **attributes):
    scale, bias = net.constant(net.random.uniform(0.5, 1.5, groups)), net.constant(net.bias(groups))
    return then_conv(net, net.node("GroupNormalization", x, scale, bias, num_groups=groups, **attributes))


# Operators that only came to allow more.


@old(13, 18, name="pools_later")
def pools(net, x):
    x = net.node("MaxPool", net.conv(x, 6, 6), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, pads=[0, 0, 2, 2])
    x = net.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, count_include_pad=1, pads=[1] * 4)
    return then_conv(net, x)


@old(13, name="lp_pool", quantizable=False)
def lp_pool(net, x):
    return then_conv(net, net.node("LpPool", x, kernel_shape=[2, 2], strides=[2, 2]))


@old(13, name="resize_later", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
@old(13, name="resize_later_linear", mode="linear", coordinate_transformation_mode="pytorch_half_pixel")
@old(17, name="resize_later_cubic", mode="cubic", cubic_coeff_a=-0.5, quantizable=False)
def resize(net, x, **attributes):
    return then_conv(net, net.node("Resize", x, "", net.constant([1, 1, 1.5, 0.7]), **attributes))


@old(13, 17, name="shapes_later")
def shapes(net, x):
    parts = net.node("Reshape", x, net.node("Concat", net.ints(0, 3, 2), net.ints(-1), axis=0))
    padded = net.node("Pad", parts, net.ints(0, 0, 0, 1, 0, 0, 0, 1), mode="edge")
    size = net.node("Cast", net.node("Size", x), to=FLOAT)
    return [net.node("ReduceSum", padded, net.ints(3)), net.node("Div", x, size)]


@old(16, name="scatter_sums", behind=False)
def scatter_sums(net, x):
    indices = net.constant(np.arange(12).reshape(1, 6, 2, 1) % 8, dtype=np.int64)
    updates = net.constant(net.bias(1, 6, 2, 1))
    picture = net.node("Slice", x, net.ints(0), net.ints(1), net.ints(0))
    summed = net.node("ScatterElements", picture, indices, updates, axis=2, reduction="add")
    return then_conv(net, net.node("Add", x, summed))


@old(13, name="recurrent")
def recurrent(net, x):
    x = net.node("Reshape", net.conv(x, 6, 6), net.ints(0, 0, -1))
    weights = [net.constant(net.weights(1, 20, size)) for size in (64, 5)]
    sequence, _, _ = net.node("LSTM", net.node("Transpose", x, perm=[1, 0, 2]), *weights, outputs=3, hidden_size=5)
    return sequence


@old(15, 20, name="others_later")
def others(net, x):
    x = net.node("LeakyRelu", net.conv(x, 6, 6), alpha=0.2)
    x = net.node("PRelu", net.conv(x, 6, 6), net.constant(net.bias(6, 1, 1)))
    x = net.node("HardSwish", net.node("InstanceNormalization", x, net.constant(np.ones(6)), net.constant(net.bias(6))))
    return net.node("Elu", then_conv(net, x))


# Patterns for which later operator sets have one operator.


@old(13, name="spelled_out")
def spelled_out(net, x):
    """Layer normalization, GELU and Mish."""
    x = net.node("Transpose", net.conv(x, 6, 6), perm=[0, 2, 3, 1])
    centred = net.node("Sub", x, net.node("ReduceMean", x, axes=[-1]))
    variance = net.node("ReduceMean", net.node("Mul", centred, centred), axes=[-1])
    root = net.node("Sqrt", net.node("Add", variance, net.constant(1e-5)))
    x = net.node("Mul", net.node("Div", centred, root), net.constant(net.random.uniform(0.5, 1.5, 6)))
    x = net.node("MatMul", net.node("Add", x, net.constant(net.bias(6))), net.constant(net.weights(6, 6)))
    error = net.node("Erf", net.node("Div", x, net.constant(2**0.5)))
    x = net.node("Mul", net.node("Mul", x, net.node("Add", error, net.constant(1.0))), net.constant(0.5))
    x = net.node("MatMul", x, net.constant(net.weights(6, 6)))
    return net.node("Mul", x, net.node("Tanh", net.node("Softplus", x)))


# Bodies and functions.


@old(13, 16, name="if_bodies_later")
def if_bodies(net, x):
    x = net.conv(x, 6, 6)
    nodes = [
        helper.make_node("Split", [x], ["then_a", "then_b"], axis=1),
        helper.make_node("ReduceMax", ["then_a"], ["then_most"], axes=[3]),
        helper.make_node("Add", ["then_b", "then_most"], ["then_sum"]),
        helper.make_node("Concat", ["then_sum", "then_a"], ["then_out"], axis=1),
    ]
    then = helper.make_graph(nodes, "then", [], [info("then_out")])
    return then_conv(net, chosen(net, x, [then, plain_body("else", x)]))




def peaks(opset):
    """Written without references, so that it can be upgraded where it stands."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], axes=[3]),
        helper.make_node("Sub", ["x", "most"], ["y"]),
    ]
    return function("Peaks", ["x"], ["y"], nodes, opset)


@old(13, 17, name="function_called_in_a_body_later", finish=with_functions(peaks), holds="Peaks", quantizable=False)
def calls_in_a_body(net, x):
    x = net.conv(x, 6, 6)
    called = helper.make_node("Peaks", [x], ["then_out"], domain=OWN)
    body = helper.make_graph([called], "then", [], [info("then_out")])
    return then_conv(net, chosen(net, x, [body, plain_body("else", x)]))


def most(opset):
    """Its axes are chosen by the call."""
    node = referring(helper.make_node("ReduceMax", ["x"], ["y"]), AttributeProto.INTS, axes="axes")
    return function("Most", ["x"], ["y"], [node], opset, ["axes"])


@old(13, 17, name="function_of_axes", finish=with_functions(most), lacks="Most")
def calls_of_axes(net, x):
    return then_conv(net, net.node("Sub", x, net.node("Most", x, domain=OWN, axes=[2, 3])))
