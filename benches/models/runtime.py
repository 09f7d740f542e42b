"""Models in ONNX Runtime: their outputs, their latency, and what they still compute in float."""

import collections
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort

TYPES = {
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float16)": np.float16,
}
# x86 processors without VNNI sum products in saturating 16 bits; this option makes ONNX Runtime use slower kernels instead.
PRECISE = ("session.x64quantprecision", "1")
# Operators whose second input is a weight, under the names that ONNX Runtime's optimisation gives them, too.
WEIGHTED = {"Conv", "ConvTranspose", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "TransposeMatMul"}


# How much ONNX Runtime may rewrite a model, from nothing to everything.
LEVELS = {
    "DISABLE_ALL": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "BASIC": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "EXTENDED": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "ALL": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def session(model, threads=1, precise=False, optimized=None, level="ALL"):
    """A session of the model in a file, or of a message."""
    options = ort.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if precise:
        options.add_session_config_entry(*PRECISE)
    if optimized:
        options.optimized_model_filepath = str(optimized)
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def feeds(s, arrays, row):
    fed = {}
    for value in s.get_inputs():
        array = arrays[value.name]
        # An array with one axis more than the input holds whole tensors; any other is stacked along the input's first axis.
        one = array[row] if array.ndim > len(value.shape) else array[row : row + 1]
        fed[value.name] = np.asarray(one, TYPES[value.type])
    return fed


def outputs(s, arrays):
    """Every float output, by name, one row a sample."""
    count = len(arrays[s.get_inputs()[0].name])
    names = [o.name for o in s.get_outputs() if o.type == "tensor(float)"]
    runs = [s.run(names, feeds(s, arrays, row)) for row in range(count)]
    return {name: np.stack([run[i] for run in runs]) for i, name in enumerate(names)}


def latency_ratio(one, other, arrays, seconds=3.0, rounds=15):
    """How long `other` takes as a share of `one`: the median over rounds in which both run by turns."""
    a, b = feeds(one, arrays, 0), feeds(other, arrays, 0)
    for _ in range(2):
        one.run(None, a)
        other.run(None, b)
    start = time.perf_counter()
    one.run(None, a)
    other.run(None, b)
    runs = max(1, int(seconds / rounds / (time.perf_counter() - start)))
    ratios = []
    for _ in range(rounds):
        spent = [0.0, 0.0]
        for _ in range(runs):
            for which, (s, fed) in enumerate(((one, a), (other, b))):
                start = time.process_time()
                s.run(None, fed)
                spent[which] += time.process_time() - start
        ratios.append(spent[1] / spent[0])
    return float(np.median(ratios))


def float_compute(path):
    """How many Conv, Gemm and MatMul with constant weights still compute in float after optimisation, by operator."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        session(path, optimized=file.name)
        model = onnx.load(file.name)
    counts = collections.Counter()
    count_in(model.graph, set(), counts)
    return counts


def count_in(graph, outer, counts):
    constants = outer | {t.name for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" or (node.op_type == "DequantizeLinear" and node.input[0] in constants):
            constants.update(node.output)
        if node.op_type in WEIGHTED and len(node.input) > 1 and node.input[1] in constants:
            counts[node.op_type] += 1
        for attribute in node.attribute:
            for body in [attribute.g, *attribute.graphs]:
                count_in(body, constants, counts)
