"""Grids of quantized models, and what they cost beside the values of the float one."""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper


def grids(path):
    """Scale, zero point and type of the first QuantizeLinear behind each value of the model."""
    graph, found = onnx.load(path).graph, {}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants.update({n.output[0]: helper.get_node_attr_value(n, "value") for n in graph.node if n.op_type == "Constant"})
    constants = {k: v if isinstance(v, np.ndarray) else numpy_helper.to_array(v) for k, v in constants.items()}
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and len(node.input) == 3 and node.input[0] not in constants:
            scale, zero = (constants[name].reshape(-1) for name in node.input[1:])
            if scale.size == 1:
                found.setdefault(node.input[0].removesuffix("_QuantizeLinear_Input"), (float(scale[0]), int(zero[0]), zero.dtype))
    return found


def shown(path, samples):
    """What the values of a float model are on `samples`."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    outputs = {output.name for output in model.graph.output}
    floats = [v for v in model.graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    model.graph.output.extend(value for value in floats if value.name not in outputs)
    running = session_of(model)
    names = [output.name for output in running.get_outputs()]
    count = len(next(iter(samples.values())))
    rows = [running.run(names, {k: v[i : i + 1] for k, v in samples.items()}) for i in range(count)]
    return {name: np.concatenate([row[k].reshape(-1) for row in rows]) for k, name in enumerate(names)} | samples


def session_of(model):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def grid_excess(numbers, scale, zero, dtype):
    """By how many dB the noise of a grid exceeds that of the narrowest one over `numbers` and 0, symmetric where it is."""
    numbers, limits = np.float64(numbers), np.iinfo(dtype)
    levels = np.clip(np.rint(numbers / scale) + zero, limits.min, limits.max)
    error = np.sum((numbers - (levels - zero) * scale) ** 2)
    low, high, middle = min(numbers.min(), 0), max(numbers.max(), 0), (limits.max + limits.min + 1) // 2
    step = max(high, -low) / (limits.max - middle) if zero == middle else (high - low) / (limits.max - limits.min)
    noise = 1e-7 * np.sum(numbers**2)
    return 10 * np.log10((error + noise) / (np.count_nonzero(numbers) * step**2 / 12 + noise))
