"""A small builder of float ONNX models with seeded random weights."""

import zlib

import numpy as np
from onnx import TensorProto, helper, numpy_helper

# What a dimension is called that takes any size.
BATCH = "N"


class Net:
    """A graph under construction. Its methods return names of values, to be handed to the next node."""

    def __init__(self, name, opset=17):
        self.name = name
        self.opset = opset
        # A case keeps its numbers however many cases come before it.
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []
        self.indices = {}

    def input(self, shape, name="x", dtype=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, [BATCH, *shape]))
        return name

    def input_indices(self, shape, name, below):
        """An int64 input, whose samples are indices from 0 up to, but without, `below`."""
        self.indices[name] = below
        return self.input(shape, name, TensorProto.INT64)

    def output(self, value, shape, dtype=TensorProto.FLOAT):
        self.outputs.append(helper.make_tensor_value_info(value, dtype, [BATCH, *shape]))

    def constant(self, array, name=None, dtype=np.float32):
        """An initializer."""
        name = name or f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def ints(self, *values):
        return self.constant(values, dtype=np.int64)

    def node(self, op_type, *inputs, outputs=1, name=None, **attributes):
        """Adds a node; returns the name of its output, or a list of names where there are several."""
        name = name or f"{op_type.lower()}_{len(self.nodes)}"
        made = [f"{name}_out{k}" if k else f"{name}_out" for k in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), made, name=name, **attributes))
        return made[0] if outputs == 1 else made

    def weights(self, *shape, fan_in=None):
        """Random weights that keep the size of what flows through them about the same."""
        fan_in = fan_in or int(np.prod(shape[1:]))
        return self.random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)

    def bias(self, *shape, size=0.1):
        return self.random.normal(0, size, shape).astype(np.float32)

    def conv(self, x, channels_in, channels_out, kernel=3, bias=True, group=1, **attributes):
        weight = self.constant(self.weights(channels_out, channels_in // group, kernel, kernel))
        rest = [self.constant(self.bias(channels_out))] if bias else []
        attributes.setdefault("pads", [kernel // 2] * 4)
        return self.node("Conv", x, weight, *rest, group=group, kernel_shape=[kernel, kernel], **attributes)

    def batch_norm(self, x, channels):
        uniform = self.random.uniform
        scale, mean = uniform(0.6, 1.5, channels), uniform(-0.2, 0.2, channels)
        shift, variance = uniform(-0.3, 0.3, channels), uniform(0.5, 1.5, channels)
        return self.node("BatchNormalization", x, *map(self.constant, (scale, shift, mean, variance)))

    def relu6(self, x):
        return self.node("Clip", x, self.constant(0.0), self.constant(6.0))

    def head(self, x, channels, classes=10):
        """Pooling and a fully connected layer, as at the end of a classifier. Gives [N, classes]."""
        x = self.node("Flatten", self.node("GlobalAveragePool", x))
        weight = self.constant(self.weights(classes, channels))
        return self.node("Gemm", x, weight, self.constant(self.bias(classes)), transB=1)

    def model(self):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets), producer_name="generated"
        )

    def samples(self, count, scale=1.0):
        """Random values for every input, drawn anew at each call."""
        samples = {}
        for value in self.inputs:
            shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
            if value.name in self.indices:
                samples[value.name] = self.random.integers(0, self.indices[value.name], (count, *shape))
            else:
                samples[value.name] = self.random.normal(0, scale, (count, *shape)).astype(np.float32)
        return samples
