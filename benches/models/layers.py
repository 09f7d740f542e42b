"""A quantized model in the engine of validation, as a whole and layer by layer."""

import dataclasses

import numpy as np
import onnx
from onnx import helper

import runtime

# Operators that hand elements on as they are.
MOVES = {
    "DepthToSpace", "Flatten", "Gather", "Identity", "Reshape", "Slice", "SpaceToDepth", "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip


def scale(model, name):
    """The scale of the DequantizeLinear that a value comes straight from, or None where computation lies between."""
    makers = {output: node for node in model.graph.node for output in node.output}
    while (node := makers.get(name)) is not None and node.op_type in MOVES:
        name = node.input[0]
    found = grid(node, constants(model)) if node is not None and node.op_type == "DequantizeLinear" else None
    return found and found[0]


def constants(model):
    return {tensor.name: tensor for tensor in model.graph.initializer}


def grid(node, known):
    """The scale and the zero point, an array, of a QuantizeLinear or DequantizeLinear with one constant of each."""
    parts = [onnx.numpy_helper.to_array(known[name]) for name in node.input[1:] if name in known]
    if len(parts) != len(node.input) - 1 or not parts or parts[0].size != 1:
        return None
    return float(parts[0]), parts[1] if len(parts) == 2 else np.zeros((), np.uint8)


def engine(bench, path, arrays, stem):
    """What the engine of validation puts out, by name, one array a sample."""
    given, made = (stem.with_name(f"{stem.name}-{which}.npz") for which in ("inputs", "outputs"))
    np.savez(given, **arrays)
    bench.engine.outputs(path, given, made)
    found = {}
    # The archive is in the order of the samples.
    with np.load(made) as archive:
        for key in archive.files:
            found.setdefault(key.partition(":")[2], []).append(archive[key])
    given.unlink()
    made.unlink()
    return found


@dataclasses.dataclass(frozen=True)
class Value:
    """A quantized value that two engines make from the same quantized values before it."""

    name: str
    elements: int
    differ: int
    largest: int

    def __str__(self):
        return f"{self.name}: {self.differ} of {self.elements} differ, by {self.largest} at most"


def integers(bench, model, arrays, stem):
    """The integers of each activation that is quantized outside of bodies, as the engine of validation finds them in a run of
    the whole model: by name, one array a sample."""
    known = constants(model)
    makers = {node.output[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    readers = {node.input[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    grids = {name: grid(node, known) for name, node in makers.items() if name in readers and node.input[0] not in known}
    grids = {name: found for name, found in grids.items() if found}
    # The integers themselves as outputs would keep the engine from quantizing and dequantizing at once, as it does else.
    taps = {name: readers[name].output[0] for name in grids}
    tapped = copied(model)
    there = {output.name for output in model.graph.output}
    add_outputs(tapped, {tap: onnx.TensorProto.FLOAT for tap in taps.values() if tap not in there})
    path = stem.with_name(f"{stem.name}-tapped.onnx")
    onnx.save(tapped, path)
    found = engine(bench, path, arrays, stem)
    path.unlink()
    return {
        name: [(np.rint(array.astype(np.float64) / step) + int(zero)).astype(zero.dtype) for array in found[taps[name]]]
        for name, (step, zero) in grids.items()
    }


def compare(bench, model, arrays, stem):
    """Every quantized value, and the float outputs by name, as ONNX Runtime at DISABLE_ALL makes them from the quantized values
    before them that the engine of validation found."""
    found = integers(bench, model, arrays, stem)
    cut = copied(model)
    types = {name: helper.np_dtype_to_tensor_dtype(rows[0].dtype) for name, rows in found.items()}
    # Whoever reads a quantized value reads a new input of the model instead.
    for node in cut.graph.node:
        for slot, name in enumerate(node.input):
            if name in found:
                node.input[slot] = given(name)
    for name, rows in found.items():
        cut.graph.input.append(helper.make_tensor_value_info(given(name), types[name], [None] * rows[0].ndim))
    add_outputs(cut, types)
    plain, session = (runtime.session(m, level="DISABLE_ALL") for m in (model, cut))
    names = [output.name for output in session.get_outputs()]
    runs = []
    for row in range(len(next(iter(arrays.values())))):
        fed = runtime.feeds(plain, arrays, row) | {given(name): rows[row] for name, rows in found.items()}
        runs.append(dict(zip(names, session.run(names, fed))))
    values = []
    for name, rows in found.items():
        off = [np.abs(run[name].astype(np.int64) - row) for run, row in zip(runs, rows, strict=True)]
        differ, largest = sum(int((o > 0).sum()) for o in off), max(int(o.max(initial=0)) for o in off)
        values.append(Value(name, sum(o.size for o in off), differ, largest))
    floats = [output.name for output in session.get_outputs() if output.type == "tensor(float)"]
    return values, {name: [run[name] for run in runs] for name in floats}


def copied(model):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def add_outputs(model, types):
    model.graph.output.extend(helper.make_tensor_value_info(name, dtype, None) for name, dtype in types.items())


def given(name):
    return f"{name}:given"
