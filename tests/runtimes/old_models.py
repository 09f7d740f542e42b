"""Small models of opsets 7 to 12: operators whose form or meaning changed, and others that stayed as they were, in the
forms that exporters of that time wrote."""

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from net import Net
from onnx import TensorProto, helper, numpy_helper

OLD_MODELS = []

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


@dataclass
class Old:
    """One model.

    build: adds the operator to a net behind a value of [N, 6, 8, 8] and returns what it makes.
    behind: whether a Conv stands before the operator. Operators that decide read the input itself: behind a Conv in
        integers they would decide otherwise now and then.
    quantizable: whether the engine that calibrates runs it.
    holds: an operator that the prepared model has to have, or None.
    lacks: one that it may not have.
    newest: the last operator set for which ONNX Runtime has a kernel of the operator.
    withdrawn: operator sets in which ONNX declared the operator void afterwards.
    """

    name: str
    opset: int
    build: object
    behind: bool
    quantizable: bool
    holds: str | None
    lacks: str | None
    newest: int
    withdrawn: range
    ir_version: int | None
    finish: object

    def make(self):
        net = Net(self.name, self.opset)
        if self.behind:
            made = self.build(net, net.node("Relu", net.conv(net.input([3, 8, 8]), 3, 6)))
        else:
            made = self.build(net, net.input([6, 8, 8]))
        for value in [made] if isinstance(made, str) else made:
            # What is not float comes with its type.
            name, dtype = value if isinstance(value, tuple) else (value, FLOAT)
            net.outputs.append(helper.make_tensor_value_info(name, dtype, None))
        model = net.model()
        model.ir_version = self.ir_version or max(4, model.ir_version)
        if self.finish:
            self.finish(model)
        calibration, validation = net.samples(24), net.samples(8)
        state_ranks(model, validation)
        for name, array in calibration.items():
            array[:8] = validation[name]
        return model, calibration, validation


def state_ranks(model, samples):
    """Writes into the outputs how many axes they have: ONNX demands it of the outputs of a model."""
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    running = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = running.run(None, {name: array[:1] for name, array in samples.items()})
    for number, (output, array) in enumerate(zip(model.graph.output, found)):
        shape = output.type.tensor_type.shape
        shape.SetInParent()
        for axis in range(array.ndim):
            shape.dim.add(dim_param=f"out{number}_{axis}")


def old(
    *opsets,
    name=None,
    behind=True,
    quantizable=True,
    holds=None,
    lacks=None,
    newest=25,
    withdrawn=range(0),
    ir_version=None,
    finish=None,
    **given,
):
    """Enters the function below it once for each of `opsets`; `given` goes to the function."""

    def add(build):
        for opset in opsets:
            title = f"{name or build.__name__}_{opset}"

            def built(net, x):
                return build(net, x, **given)

            entry = Old(title, opset, built, behind, quantizable, holds, lacks, newest, withdrawn, ir_version, finish)
            assert all(other.name != title for other in OLD_MODELS), f"two models are called {title}"
            OLD_MODELS.append(entry)
        return build

    return add


def attribute_or_input(net, op_type, value, since, name, numbers, **attributes):
    """Integers as the attribute that they were before `since`, or as the input that they are now."""
    if net.opset < since:
        return net.node(op_type, value, **{name: numbers}, **attributes)
    return net.node(op_type, value, net.ints(*numbers), **attributes)


def then_conv(net, value, channels=6):
    return net.conv(value, channels, 4)


# Upsample and Resize.


@old(7, 8, name="upsample_nearest", scales=[1, 1, 2, 2], holds="Resize")
@old(7, name="upsample_nearest_fractional", scales=[1, 1, 1.5, 2.3])
@old(7, name="upsample_nearest_one_axis", scales=[1, 1, 1, 3])
@old(7, name="upsample_linear", scales=[1, 1, 2, 2], mode="linear")
@old(7, name="upsample_linear_fractional", scales=[1, 1, 1.4, 2.5], mode="linear")
def upsample(net, x, scales, **attributes):
    return then_conv(net, net.node("Upsample", x, scales=[float(s) for s in scales], **attributes))


@old(9, name="upsample_nearest", scales=[1, 1, 2, 2], holds="Resize", lacks="Upsample")
@old(9, name="upsample_nearest_fractional", scales=[1, 1, 1.7, 2.6])
@old(9, name="upsample_linear", scales=[1, 1, 2, 3], mode="linear")
@old(10, name="resize_nearest_grows", scales=[1, 1, 2, 2])
@old(10, name="resize_nearest_grows_fractional", scales=[1, 1, 1.3, 2.7])
@old(10, name="resize_nearest_shrinks", scales=[1, 1, 0.5, 0.6])
@old(10, name="resize_nearest_shrinks_fractional", scales=[1, 1, 0.7, 0.9])
@old(10, name="resize_nearest_both_ways", scales=[1, 1, 0.6, 1.7])
@old(10, name="resize_linear_grows", scales=[1, 1, 2, 1.5], mode="linear")
@old(10, name="resize_linear_shrinks", scales=[1, 1, 0.5, 0.7], mode="linear")
def scaled(net, x, scales, **attributes):
    op_type = "Upsample" if net.opset < 10 else "Resize"
    return then_conv(net, net.node(op_type, x, net.constant(scales), **attributes))


@old(11, 12, name="resize_sizes", coordinate_transformation_mode="align_corners", mode="linear")
@old(11, name="resize_sizes_tensorflow", coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode="floor")
@old(11, name="resize_sizes_cubic", mode="cubic", quantizable=False)
def sizes(net, x, **attributes):
    """Before 13 scales had to be there, too, without any number in them."""
    none = net.constant([])
    return then_conv(net, net.node("Resize", x, none, none, net.ints(1, 6, 11, 13), **attributes))


@old(9, name="upsample_scales_in_a_node", scales=[1, 1, 2, 2])
@old(10, name="resize_scales_in_a_node", scales=[1, 1, 0.5, 0.6])
def scales_in_a_node(net, x, scales):
    scales = net.node("Constant", value=numpy_helper.from_array(np.array(scales, np.float32)))
    return then_conv(net, net.node("Upsample" if net.opset < 10 else "Resize", x, scales))


@old(9, name="upsample_computed_scales", factors=[1, 1, 1, 1.5])
@old(10, name="resize_computed_scales_grow", factors=[1, 1, 1, 1.5])
@old(10, name="resize_computed_scales_shrink", factors=[1, 1, 0.25, 0.3])
@old(10, name="resize_computed_scales_both_ways", factors=[1, 1, 0.3, 1.2])
def computed_scales(net, x, factors):
    """Twice `factors` in the last two axes, from a value's shape: half the height."""
    shape = net.node("Cast", net.node("Shape", x), to=FLOAT)
    scales = net.node("Mul", net.node("Div", shape, net.constant([1, 6, 4, 4])), net.constant(factors))
    return then_conv(net, net.node("Upsample" if net.opset < 10 else "Resize", x, scales))


@old(7, name="clip_behind_upsample")
def clip_behind_upsample(net, x):
    """The engine that tells types may lack Upsample; Clip still has to know its own."""
    x = net.node("Upsample", x, scales=[1.0, 1.0, 2.0, 2.0])
    return net.node("Clip", then_conv(net, x), min=-0.5, max=0.5)


# Attributes that became inputs.


@old(7, 10, name="clip", min=-0.3, max=0.7)
@old(7, name="clip_min", min=0.1)
@old(7, name="clip_max", max=0.4)
@old(7, name="clip_at_nothing")
@old(7, name="clip_at_its_defaults", min=float(np.finfo(np.float32).min), max=float(np.finfo(np.float32).max))
def clip(net, x, **attributes):
    return then_conv(net, net.node("Clip", net.conv(x, 6, 6), **attributes))


@old(11, name="clip_inputs")
@old(12, name="clip_inputs")
def clip_inputs(net, x):
    return then_conv(net, net.node("Clip", net.conv(x, 6, 6), net.constant(-0.3), net.constant(0.7)))


@old(7, 10, name="pad", pads=[0, 0, 1, 2, 0, 0, 3, 1])
@old(7, name="pad_value", pads=[0, 0, 1, 2, 0, 0, 3, 1], value=0.5)
@old(7, name="pad_reflect", pads=[0, 0, 1, 2, 0, 0, 3, 1], mode="reflect")
@old(7, name="pad_edge", pads=[0, 0, 1, 2, 0, 0, 3, 1], mode="edge", value=2.0)
@old(7, name="pad_cuts", pads=[0, 0, -1, 2, 0, 0, 3, -2], quantizable=False)
def pad(net, x, **attributes):
    return then_conv(net, net.node("Pad", x, **attributes))


@old(11, 12, name="pad_inputs")
def pad_inputs(net, x):
    return then_conv(net, net.node("Pad", x, net.ints(0, 0, 1, 2, 0, 0, 3, 1), net.constant(0.5)))


LAST = 2**31 - 1


@old(7, 9, name="slice", starts=[1, 2], ends=[7, 8], axes=[2, 3])
@old(7, name="slice_first_axes", starts=[0, 0, 1], ends=[1, 6, 5])
@old(7, name="slice_from_the_end", starts=[-5, 0], ends=[-1, LAST], axes=[2, 3])
def slices(net, x, **attributes):
    return then_conv(net, net.node("Slice", x, **attributes))


@old(10, 11, name="slice_inputs")
def slice_inputs(net, x):
    return then_conv(net, net.node("Slice", x, net.ints(7, 0), net.ints(1, LAST), net.ints(2, 3), net.ints(-2, 1)))


@old(7, 9, 10, 11, name="top_k", behind=False)
@old(7, name="top_k_other_axis", behind=False, axis=2)
def top_k(net, x, axis=3):
    rest = [net.ints(5)] if net.opset >= 10 else []
    attributes = {} if rest else {"k": 5}
    values, indices = net.node("TopK", x, *rest, outputs=2, axis=axis, **attributes)
    # The largest numbers, and what can be told from their places.
    return then_conv(net, net.node("Add", values, net.node("Cast", indices, to=FLOAT)))


@old(7, 11, 12, name="squeeze_unsqueeze_split_sum")
def axes(net, x):
    x = attribute_or_input(net, "Unsqueeze", x, 13, "axes", [1, 3])
    x = attribute_or_input(net, "Squeeze", x, 13, "axes", [1, 3])
    few, many = net.node("Split", x, outputs=2, axis=1, split=[2, 4])
    x = net.node("Concat", net.conv(many, 4, 4), few, axis=1)
    x = net.node("ReduceSum", then_conv(net, x), axes=[3], keepdims=0)
    return net.node("ReduceSum", x, axes=[1])


@old(7, 12, name="left_out")
def left_out(net, x):
    """No sizes and no axes: equal parts, every axis of one, and every axis."""
    first, second, third = net.node("Split", x, outputs=3, axis=1)
    x = net.node("Add", net.node("Mul", first, second), third)
    x = net.node("GlobalAveragePool", net.conv(x, 2, 5))
    return [net.node("Squeeze", x), net.node("ReduceSum", x)]


# Axes that changed their meaning.

FLATTENED = {"default": {}, "first": {"axis": 0}, "middle": {"axis": 2}, "last": {"axis": 3}}

for kind, axis in FLATTENED.items():

    @old(7, 11, name=f"softmax_{kind}", axis=axis)
    @old(12, name=f"log_softmax_{kind}", op_type="LogSoftmax", axis=axis)
    @old(9, name=f"hardmax_{kind}", op_type="Hardmax", axis=axis, behind=False)
    def softmax(net, x, axis, op_type="Softmax"):
        return then_conv(net, net.node(op_type, x, **axis))


@old(11, name="softmax_from_the_end", axis=-1)
@old(11, name="softmax_two_from_the_end", axis=-2)
@old(7, name="softmax_of_a_matrix", axis=1, head=True)
def softmax_axis(net, x, axis, head=False):
    x = net.head(x, 6) if head else net.conv(x, 6, 6)
    return net.node("Softmax", x, axis=axis)


# Dropout.


@old(7, 10, name="dropout_ratio", lacks="Dropout", ratio=0.3)
@old(7, 11, 12, name="dropout", lacks="Dropout")
def dropout(net, x, **attributes):
    return then_conv(net, net.node("Dropout", x, **attributes))


@old(7, 10, 11, 12, name="dropout_mask")
def dropout_mask(net, x):
    x, mask = net.node("Dropout", net.conv(x, 6, 6), outputs=2)
    return [then_conv(net, x), (mask, FLOAT if net.opset < 10 else BOOL)]


# Normalizations.


def statistics(net, *shape):
    scale, mean = net.random.uniform(0.6, 1.5, shape), net.random.uniform(-0.2, 0.2, shape)
    shift, variance = net.random.uniform(-0.3, 0.3, shape), net.random.uniform(0.5, 1.5, shape)
    return [net.constant(array) for array in (scale, shift, mean, variance)]


@old(7, 8, name="batch_norm_spatial", shape=[6], spatial=1)
@old(7, 9, 11, name="batch_norm", shape=[6])
@old(7, 8, name="batch_norm_of_elements", shape=[6, 8, 8], spatial=0, lacks="BatchNormalization")
@old(7, name="batch_norm_of_elements_epsilon", shape=[6, 8, 8], spatial=0, epsilon=0.1)
def batch_norm(net, x, shape, **attributes):
    return then_conv(net, net.node("BatchNormalization", x, *statistics(net, *shape), **attributes))


@old(7, name="batch_norm_of_a_matrix", holds="BatchNormalization")
def batch_norm_of_a_matrix(net, x):
    x = net.node("Sigmoid", net.head(x, 6))
    return net.node("BatchNormalization", x, *statistics(net, 10), spatial=0)


@old(7, name="mean_variance", across_channels=0, normalize_variance=1)
@old(8, name="mean_variance_across", across_channels=1)
@old(7, name="mean_only", normalize_variance=0)
@old(9, name="mean_variance", axes=[2, 3])
@old(11, name="mean_variance_default")
def mean_variance(net, x, **attributes):
    return then_conv(net, net.node("MeanVarianceNormalization", net.conv(x, 6, 6), **attributes))


# Experiments that ended with opset 10.


@old(7, 9, name="affine", op_type="Affine", alpha=1.5, beta=-0.2)
@old(7, name="parametric_softplus", op_type="ParametricSoftplus", alpha=1.5, beta=0.7)
@old(7, name="scaled_tanh", op_type="ScaledTanh", alpha=1.5, beta=0.7)
@old(7, name="scale", op_type="Scale", scale=0.3)
@old(7, name="image_scaler", op_type="ImageScaler", scale=0.3, bias=[0.1, 0.2, 0.3, -0.1, -0.2, -0.3])
@old(7, name="crop", op_type="Crop", border=[1, 2, 3, 0])
@old(7, name="crop_to_size", op_type="Crop", border=[1, 2, 0, 0], scale=[4, 5])
@old(7, name="thresholded_relu", op_type="ThresholdedRelu", alpha=0.2)
def experimental(net, x, op_type, **attributes):
    return then_conv(net, net.node(op_type, net.conv(x, 6, 6), **attributes))


# Operators that only came to allow more.


@old(7, 8, 10, 11, 12, name="pools")
def pools(net, x):
    late = {"ceil_mode": 1} if net.opset >= 10 else {}
    x = net.node("MaxPool", net.conv(x, 6, 6), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], **late)
    late |= {"count_include_pad": 1, "pads": [1, 0, 0, 1]}
    return net.node("AveragePool", then_conv(net, x), kernel_shape=[2, 2], **late)


@old(7, name="max_pool_same", auto_pad="SAME_UPPER")
@old(11, name="max_pool_same", auto_pad="SAME_LOWER")
def max_pool_same(net, x, auto_pad):
    x = net.node("MaxPool", net.conv(x, 6, 6), kernel_shape=[3, 3], strides=[2, 2], auto_pad=auto_pad)
    return then_conv(net, x)


@old(7, 9, 11, name="gemm")
def gemm(net, x):
    x = net.node("Flatten", net.node("GlobalMaxPool", x), axis=1)
    rest = [net.constant(net.bias(10))] if net.opset < 11 else []
    return net.node("Gemm", x, net.constant(net.weights(6, 10)), *rest, alpha=0.5)


REDUCTIONS = ["Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"]


@old(7, 11, 12, name="reductions")
def reductions(net, x):
    x = net.node("Sigmoid", then_conv(net, x))
    made = [net.node(f"Reduce{kind}", x, axes=[2] if kind == "Prod" else [2, 3], keepdims=0) for kind in REDUCTIONS]
    return [*made, net.node("ReduceMean", x)]


@old(7, 8, 12, name="element_wise")
def element_wise(net, x):
    """The last of these did not broadcast before 8."""
    y, z = net.node("Sigmoid", net.conv(x, 6, 6)), net.node("Tanh", net.conv(x, 6, 6))
    made = [net.node(op_type, y, z) for op_type in ("Max", "Min", "Sum", "Mean")]
    if net.opset >= 8:
        made[0] = net.node("Max", made[0], net.constant(net.bias(6, 1, 1)))
    x = net.node("Pow", net.node("Concat", *made, axis=1), net.constant(2.0))
    return then_conv(net, net.node("PRelu", net.conv(x, 24, 6), net.constant(net.bias(6, 1, 1))))


@old(7, 11, 12, name="decisions", behind=False)
def decisions(net, x):
    """Comparisons, and places of the largest."""
    place = net.node("ArgMax", x, axis=3, keepdims=1)
    first = net.node("Cast", net.node("Equal", place, net.ints(3)), to=FLOAT)
    large = net.node("Cast", net.node("Greater", x, net.constant(0.5)), to=FLOAT)
    return then_conv(net, net.node("Add", net.node("Mul", x, large), first))


@old(9, 11, name="one_hot", behind=False)
def one_hot(net, x):
    place = net.node("ArgMin", x, axis=3, keepdims=0)
    hot = net.node("OneHot", place, net.constant(8, dtype=np.int64), net.constant([0.0, 1.0]))
    return then_conv(net, net.node("Add", x, hot))


@old(9, 10, 11, name="scatter", lacks="Scatter")
def scatter(net, x):
    indices = net.constant(np.arange(12).reshape(1, 6, 2, 1) % 8, dtype=np.int64)
    updates = net.constant(net.bias(1, 6, 2, 1))
    op_type = "Scatter" if net.opset < 11 else "ScatterElements"
    return then_conv(net, net.node(op_type, x, indices, updates, axis=2))


@old(9, name="scatter_first_axis")
def scatter_first_axis(net, x):
    indices, updates = net.constant(np.zeros((1, 6, 8, 8)), dtype=np.int64), net.constant(net.bias(1, 6, 8, 8))
    return then_conv(net, net.node("Add", x, net.node("Scatter", x, indices, updates)))


@old(7, 11, name="depth_and_space")
def depth_and_space(net, x):
    x = net.node("SpaceToDepth", x, blocksize=2)
    x = net.node("DepthToSpace", net.conv(x, 24, 16), blocksize=2)
    return then_conv(net, net.node("Gather", x, net.ints(3, 0, 1), axis=1), 3)


@old(9, 12, name="shapes", behind=False)
def shapes(net, x):
    shape = net.node("Shape", x)
    ones = net.node("ConstantOfShape", shape, value=helper.make_tensor("value", FLOAT, [1], [1.0]))
    wide = net.node("Expand", net.constant(net.bias(6, 1, 8)), shape)
    chosen = net.node("Where", net.node("Greater", x, wide), x, ones)
    return then_conv(net, net.node("Tile", chosen, net.ints(1, 1, 2, 1)))


@old(7, 9, name="others")
def others(net, x):
    x = net.node("LRN", net.conv(x, 6, 6), size=3)
    x = net.node("InstanceNormalization", x, net.constant(np.ones(6)), net.constant(net.bias(6)))
    return net.node("LeakyRelu", then_conv(net, x), alpha=0.1)


def initializers_as_inputs(model):
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))


@old(7, 8, name="first_format", ir_version=3, finish=initializers_as_inputs)
def first_format(net, x):
    x = net.node("Clip", net.batch_norm(net.conv(x, 6, 6), 6), min=0.0, max=6.0)
    return net.node("Softmax", net.head(net.node("Pad", x, pads=[0, 0, 1, 1, 0, 0, 1, 1]), 6))
