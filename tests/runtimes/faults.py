"""Faults planted in quantized models, and what `tare validate --layers` says of them."""

import json

import numpy as np
import onnx
from common import tare
from onnx import numpy_helper

# Models with layers of each kind.
MODELS = (
    "conv_relu",
    "residual",
    "depthwise",
    "conv_transpose_bias",
    "gemm_transposed",
    "matmul_add_bias",
    "silu",
)
FAULTS = ("scale", "weight", "bias")
COMPUTE = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
CLAMPS = {"Relu", "Clip", "Add"}


class Planted:
    """A QDQ model, to plant faults in."""

    def __init__(self, path):
        self.model = onnx.load(path)
        graph = self.model.graph
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.makers = {value: node for node in graph.node for value in node.output}
        self.readers = {}
        for node in graph.node:
            for value in node.input:
                self.readers.setdefault(value, []).append(node)

    def stored(self, node, slot):
        """The DequantizeLinear through which `node` reads a stored constant."""
        maker = self.makers.get(node.input[slot]) if len(node.input) > slot else None
        good = maker is not None and maker.op_type == "DequantizeLinear" and maker.input[0] in self.constants
        return maker if good else None

    def behind(self, value):
        """What `value` is called, and what it becomes in clamps and biases of its own behind it."""
        names = {value}
        while len(readers := self.readers.get(value, [])) == 1 and readers[0].op_type in CLAMPS:
            value = readers[0].output[0]
            names.add(value)
        return {name.removesuffix("_QuantizeLinear_Input") for name in names}

    def change(self, name, array):
        self.constants[name].CopyFrom(numpy_helper.from_array(array, name))

    def scale(self, chance):
        """Four times the scale of one activation."""
        nodes = [n for n in self.model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] not in self.constants]
        # A grid for each channel of an activation is not looked at.
        node = chance.choice([n for n in nodes if numpy_helper.to_array(self.constants[n.input[1]]).size == 1])
        number = float(numpy_helper.to_array(self.constants[node.input[1]]).reshape(-1)[0])
        self.model.graph.initializer.append(numpy_helper.from_array(np.array(number * 4, np.float32), "planted"))
        # An output of the model is called so where it is a float again.
        value = node.input[0].removesuffix("_QuantizeLinear_Input")
        for one in [node, *self.readers[node.output[0]]]:
            one.input[1] = "planted"
        return {value}

    def weight(self, chance):
        """No weights in one channel of a layer."""
        layers = [n for n in self.model.graph.node if n.op_type in COMPUTE and self.rounded(n)]
        if not layers:
            return None
        node = chance.choice(layers)
        name, zeros = self.rounded(node)
        array = numpy_helper.to_array(self.constants[name]).copy()
        rows = node.op_type == "Conv" or any(a.name == "transB" and a.i for a in node.attribute)
        axis = 0 if rows else 1 if node.op_type == "ConvTranspose" else array.ndim - 1
        channel = chance.randrange(array.shape[axis])
        array[(slice(None),) * axis + (channel,)] = zeros[channel if len(zeros) > 1 else 0]
        self.change(name, array)
        return self.behind(node.output[0])

    def rounded(self, node):
        """The constant behind the weights of `node` and what stands for 0 in it: integers, or floats that the model rounds."""
        if stored := self.stored(node, 1):
            zeros = numpy_helper.to_array(self.constants[stored.input[2]]).reshape(-1) if len(stored.input) > 2 else [0]
            return stored.input[0], zeros
        pair = self.makers.get(node.input[1])
        maker = self.makers.get(pair.input[0]) if pair is not None and pair.op_type == "DequantizeLinear" else None
        good = maker is not None and maker.op_type == "QuantizeLinear" and maker.input[0] in self.constants
        return (maker.input[0], [0]) if good else None

    def bias(self, chance):
        """One bias off by as much as biases are large."""
        layers = [n for n in self.model.graph.node if n.op_type in COMPUTE and self.stored(n, 2)]
        if not layers:
            return None
        node = chance.choice(layers)
        stored = self.stored(node, 2)
        array = numpy_helper.to_array(self.constants[stored.input[0]]).astype(np.int64)
        scales = np.resize(numpy_helper.to_array(self.constants[stored.input[1]]), array.size)
        channel = chance.randrange(array.size)
        array[channel] += int(round(np.abs(array * scales).mean() / scales[channel]))
        self.change(stored.input[0], np.clip(array, -(2**31) + 1, 2**31 - 1).astype(np.int32))
        return self.behind(node.output[0])


def compared(case, original, quantized, samples):
    report = case.folder / "report.json"
    np.savez(case.folder / "samples.npz", **samples)
    tare("validate", original, quantized, "--data", case.folder / "samples.npz", "--layers", "--report", report, "-q")
    return json.loads(report.read_text())


def excess(layer):
    """By how much a value's error exceeds what its types explain, as it counts for suspects."""
    if layer["suspect"]:
        return layer["suspect"]["excess_db"]
    known = (layer[key] for key in ("weights_excess_db", "steps_excess_db"))
    return max((db for db in known if db is not None), default=-np.inf)
