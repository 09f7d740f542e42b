"""The models that `nodes.py` works on: those of the onnx package's backend tests, and node tests between two layers.

A node test alone mostly holds nothing to quantize: its weights are inputs. *Sandwiched*, the node stands between two
layers with constant weights that keep the shape, so that it reads what was quantized, and integers are wanted of it.
"""

import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import DATA_DIR

# Fewer would mean that the collecting below no longer finds what there is.
LEAST = {"shipped": 100, "node": 1500, "sandwich": 1500}
# Sizes of the tensors around the node beyond which a sandwich of a debug binary takes too long.
MOST_ELEMENTS = 1 << 20


@dataclass
class Entry:
    """A model and what goes into it, by name; `inputs` is None where the test has no tensors for it."""

    name: str
    kind: str
    model: onnx.ModelProto
    inputs: dict | None
    path: Path | None = None
    # Constants that make the layers around the node: they are to become integers.
    layers: list = field(default_factory=list)


def external_inputs(graph):
    """The inputs that a caller has to give."""
    initialized = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in initialized]


def shipped():
    """The models that lie in the package as files, with their test data where there are."""
    for path in sorted(Path(DATA_DIR).rglob("*.onnx")):
        model = onnx.load(path)
        name = "/".join(path.relative_to(DATA_DIR).with_suffix("").parts)
        yield Entry(name, "shipped", model, shipped_inputs(path.parent / "test_data_set_0", model), path)


def shipped_inputs(folder, model):
    arrays = {}
    for number, value in enumerate(external_inputs(model.graph)):
        path = folder / f"input_{number}.pb"
        if not path.exists() or not value.type.HasField("tensor_type"):
            return None
        arrays[value.name] = numpy_helper.to_array(onnx.load_tensor(path))
    return arrays


def nodes():
    """The tests of single nodes, and of the functions that nodes expand to."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The makers' own arithmetic overflows on purpose here and there.
        cases = collect_testcases("")
    for case in sorted(cases, key=lambda case: case.name):
        if case.model is not None:
            yield Entry(case.name, "node", case.model, node_inputs(case))


def node_inputs(case):
    given = case.data_sets[0][0] if case.data_sets else []
    values = external_inputs(case.model.graph)
    if len(given) != len(values):
        return None
    arrays = {}
    for value, array in zip(values, given):
        if not value.type.HasField("tensor_type") or array is None or isinstance(array, (list, dict)):
            return None
        arrays[value.name] = numpy_helper.to_array(array) if isinstance(array, TensorProto) else np.asarray(array)
    return arrays


def static_float(value):
    """The shape of a float32 value all of whose dimensions are stated, or None."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or kind.elem_type != TensorProto.FLOAT or not kind.HasField("shape"):
        return None
    if not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    return [dim.dim_value for dim in kind.shape.dim]


class Around:
    """Adds layers to a graph. `random` makes their weights; `exact` ones are 1 and change nothing."""

    def __init__(self, graph, random):
        self.graph = graph
        self.random = random
        self.made = []

    def constant(self, name, array):
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def weights(self, count, exact):
        """Factors near 1: what flows through keeps its size, and each channel gets a scale of its own."""
        drawn = np.ones(count) if exact else self.random.uniform(0.5, 1.0, count)
        return drawn.astype(np.float32)

    def layer(self, name, shape, source, target, exact):
        """Nodes from `source` to `target`, both of `shape`; appended to a list for the caller to place."""
        weight = f"{name}_weight"
        self.made.append(weight)
        rank = len(shape)
        if rank in (3, 4, 5):
            # Depthwise, a factor for each channel.
            channels = shape[1]
            factors = self.weights(channels, exact).reshape(channels, *[1] * (rank - 1))
            self.constant(weight, factors)
            return [helper.make_node("Conv", [source, weight], [target], name=name, group=channels)]
        last = shape[-1] if shape else 1
        self.constant(weight, np.diag(self.weights(last, exact)))
        if shape:
            return [helper.make_node("MatMul", [source, weight], [target], name=name)]
        one = self.constant(f"{name}_one", np.ones(1, np.int64))
        none = self.constant(f"{name}_none", np.zeros(0, np.int64))
        return [
            helper.make_node("Reshape", [source, one], [f"{name}_in"], name=f"{name}_to_vector"),
            helper.make_node("MatMul", [f"{name}_in", weight], [f"{name}_out"], name=name),
            helper.make_node("Reshape", [f"{name}_out", none], [target], name=f"{name}_to_scalar"),
        ]


def sandwich(entry, constant):
    """The node of `entry` between two layers; its other inputs become constants if `constant` is set.

    Gives an Entry, or the reason why there is none, as text.
    """
    graph = entry.model.graph
    values = external_inputs(graph)
    if entry.inputs is None or not values or not graph.output:
        return "its inputs are not all tensors"
    shapes = static_float(values[0]), static_float(graph.output[0])
    if None in shapes:
        return "input 0 or output 0 is not float32 of a stated shape"
    if any(len(shape) and 0 in shape for shape in shapes):
        return "input 0 or output 0 is empty"
    if any(np.prod(shape) > MOST_ELEMENTS or len(shape) not in (3, 4, 5) and shape[-1:] > [512] for shape in shapes):
        return "input 0 or output 0 is too large"
    if values[0].name == graph.output[0].name:
        return "input 0 is output 0"
    if constant and len(values) == 1:
        return None
    model = onnx.ModelProto()
    model.CopyFrom(entry.model)
    model.ir_version = max(model.ir_version, 8)
    if not any(opset.domain in ("", "ai.onnx") for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", 17))
    graph = model.graph
    name = f"{entry.name}+{'constants' if constant else 'inputs'}"
    around = Around(graph, np.random.default_rng(zlib.crc32(entry.name.encode())))
    first, last = values[0].name, graph.output[0].name
    rename(graph, {first: f"{first}_inner", last: f"{last}_inner"})
    # What the node reads is what its test wants it to read: many operators take only part of the numbers.
    before = around.layer("before", shapes[0], first, f"{first}_inner", exact=True)
    after = around.layer("after", shapes[1], f"{last}_inner", last, exact=False)
    inner = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *inner, *after])
    inputs = dict(entry.inputs)
    if constant:
        for value in values[1:]:
            tensor = numpy_helper.from_array(inputs.pop(value.name), value.name)
            graph.initializer.append(tensor)
        kept = [value for value in graph.input if value.name in inputs or value.name == first]
        del graph.input[:]
        graph.input.extend(kept)
    return Entry(name, "sandwich", model, inputs, layers=around.made)


def rename(graph, names):
    """Renames values inside the nodes; graph inputs and outputs keep theirs."""
    for node in graph.node:
        for ends in (node.input, node.output):
            for index, name in enumerate(ends):
                if name in names:
                    ends[index] = names[name]
        for attribute in node.attribute:
            for body in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                rename(body, names)
