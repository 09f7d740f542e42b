"""How far a quantized model may be from its float model, worked out from the float model alone.

Scales are not taken on trust. With the min-max calibrator, and calibrated on the very sample that is checked, a uint8
value has to have the step (max - min) / 255 of what the float model computes for it, zero included, and an int8 weight
the step max|w| / 127 of its channel. `grids` compares each written scale with that one, to a thousandth, so a scale
that is off by more than that fails for itself, whatever it does to the output.

The output is then bounded by those expected steps: rounding is off by half a step at most. The float model runs with
noise added where the written model rounds, in independent uniform draws within half a step, and in draws of half a step
everywhere with one sign, since the numbers of many tests are alike and so are their rounding errors. The RMS error of
the quantized model's output may be FACTOR times the largest that noise has made. That measures the model's own
sensitivity, steep operators included; where noise leads to NaN or infinity the sample stands at the edge of what the
operator is defined on, and nothing can be said.
"""

import numpy as np
import onnx
import onnxruntime as ort
from node_models import external_inputs
from onnx import TensorProto, helper, numpy_helper

LEVELS = {
    "disable": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
FACTOR = 2.0
# Integer kernels round each layer's output once more than the simulation does.
KERNELS_FACTOR = 2.0
DRAWS = 8
SCALE_TOLERANCE = 1e-3
# Where the grids of operators begin that cannot leave a range, and their steps.
FIXED = {
    **dict.fromkeys(["Sigmoid", "Softmax"], (0.0, 1 / 256)),
    "Hardmax": (0.0, 1 / 255),
    **dict.fromkeys(["Cos", "Erf", "Sin", "Softsign", "Tanh"], (-1.0, 1 / 128)),
}
# A weight may get a wider step, where kernels sum pairs of products in 16 bits: twice as wide at the worst.
WIDER = 2.02
# Float arithmetic in another order.
RELATIVE = 1e-5
ABSOLUTE = 1e-7

# Outputs that jump: half a step in the input, however small, can change them by any amount. An output is exempt from
# numeric closeness if it depends on one of these operators' (marked) outputs by way of numbers that were quantized.
JUMPS = {
    # They compare, or round to whole numbers.
    **dict.fromkeys(["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "IsInf", "IsNaN"], "compares"),
    # (A Cast between floats does not.)
    **dict.fromkeys(["Ceil", "Floor", "Round", "Sign", "Mod", "BitCast"], "rounds"),
    **dict.fromkeys(["QuantizeLinear", "DynamicQuantizeLinear", "DequantizeLinear"], "rounds"),
    # They cut at a threshold.
    **dict.fromkeys(["Shrink", "ThresholdedRelu"], "cuts at a threshold"),
    # They choose or sort by size. (TopK's and MaxPool's values are continuous, only their indices jump.)
    **dict.fromkeys(["ArgMax", "ArgMin", "Hardmax", "NonMaxSuppression", "NonZero", "Unique"], "chooses by size"),
    # They draw random numbers.
    **dict.fromkeys(
        ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"],
        "draws random numbers",
    ),
    # Truth values: of NaN and of what was compared.
    **dict.fromkeys(["And", "Or", "Xor", "Not"], "is a truth value"),
}
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
# Of these only some outputs do, by index.
JUMPING_OUTPUTS = {"TopK": {1}, "MaxPool": {1}, "Dropout": {1}}


def jump(node, index, types):
    """Why output `index` of a node jumps, or None."""
    if node.op_type in ("Cast", "CastLike"):
        return None if types.get(node.output[0]) in FLOATS else f"{node.op_type} rounds"
    if any(attribute.HasField("g") for attribute in node.attribute):
        return f"{node.op_type} runs a body"
    if node.op_type == "Dropout" and any(node.input[2:3]):
        return "Dropout draws random numbers while it trains"
    if index in JUMPING_OUTPUTS.get(node.op_type, ()):
        return f"{node.op_type} picks"
    return f"{node.op_type} {JUMPS[node.op_type]}" if node.op_type in JUMPS else None


def exempt(model, quantized):
    """Outputs to which no closeness applies, each with the reason; `quantized` are the values that are rounded."""
    inexact, jumping = set(quantized), {}
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in inferred}
    for node in model.graph.node:
        bodies = any(attribute.HasField("g") for attribute in node.attribute)
        depends = bodies or any(name in inexact for name in node.input)
        before = next((jumping[name] for name in node.input if name in jumping), None)
        for index, name in enumerate(node.output):
            reason = before or (jump(node, index, types) if depends else None)
            if depends:
                inexact.add(name)
            if reason:
                jumping[name] = reason
    return {value.name: jumping[value.name] for value in model.graph.output if value.name in jumping}


def producers(graph):
    return {name: node for node in graph.node for name in node.output if name}


def constants(graph):
    """Stored tensors, and those of Constant nodes."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            stored[node.output[0]] = node.attribute[0].t
    return stored


def met(node, shape, by):
    """Of the factors of input channels, those that the numbers of a layer's weight meet, for them to be multiplied by."""
    stated = {a.name: a.i for a in node.attribute}
    if node.op_type == "Conv":
        groups = by.reshape(stated.get("group", 1), 1, shape[1])
        each = np.repeat(groups, shape[0] // len(groups), axis=1).reshape(shape[:2])
        return each.reshape(*shape[:2], *[1] * (len(shape) - 2))
    return by if stated.get("transB") else by.reshape(-1, *[1] * (len(shape) - 1))


def smoothed(model, quantized):
    """The float model with what the written one smooths: channels multiplied by powers of two, weights the other way."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made, written = producers(quantized.graph), {node.name: node for node in quantized.graph.node}
    factors, weights = constants(quantized.graph), constants(copy.graph)

    def source(name):
        while name in made and made[name].op_type in ("QuantizeLinear", "DequantizeLinear"):
            name = made[name].input[0]
        return name

    for scaling in quantized.graph.node:
        if scaling.op_type != "Mul" or not scaling.input[1].endswith("_smoothing"):
            continue
        value, scaled = scaling.input[0], scaling.output[0]
        by = numpy_helper.to_array(factors[scaling.input[1]])
        readers = [node for node in copy.graph.node if value in node.input and node.name in written]
        readers = [node for node in readers if source(written[node.name].input[0]) == scaled]
        first = min(list(copy.graph.node).index(node) for node in readers)
        for node in readers:
            weight = numpy_helper.to_array(weights[node.input[1]])
            back = weight / met(node, weight.shape, by.ravel())
            weights[node.input[1]].CopyFrom(numpy_helper.from_array(back.astype(np.float32), node.input[1]))
            node.input[0] = scaled
        copy.graph.initializer.append(factors[scaling.input[1]])
        copy.graph.node.insert(first, scaling)
    return copy


class Written:
    """What a written model says of its grids, by the names that the values have in the float model."""

    def __init__(self, quantized, original):
        graph = quantized.graph
        stored = {tensor.name: tensor for tensor in graph.initializer}
        array = lambda name: numpy_helper.to_array(stored[name])  # noqa: E731
        known = {name for node in original.graph.node for name in node.output if name}
        known |= {value.name for value in external_inputs(original.graph)}
        readers = {}
        for node in graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        # scale's name -> (scale, zero point, names of values); values that have no such name in the float model apart.
        self.grids, self.unknown, self.weights = {}, [], {}
        own = set(known)
        for node in graph.node:
            if node.op_type == "QuantizeLinear" and node.input[0] not in stored:
                if len(node.input) < 3 or node.input[1] not in stored or stored[node.input[1]].dims:
                    continue
                name = node.input[0]
                if name not in own and name.endswith("_QuantizeLinear_Input"):
                    name = name.removesuffix("_QuantizeLinear_Input")
                behind = [r for d in readers.get(node.output[0], []) for r in readers.get(d.output[0], [])]
                if behind and all(r.op_type in ("Relu", "Clip") for r in behind):
                    continue  # It has the grid of what follows the clamp, and may go beyond it.
                if name not in known:
                    self.unknown.append(name)
                    continue
                grid = self.grids.setdefault(node.input[1], (array(node.input[1]), array(node.input[2]), []))
                grid[2].append(name)
            if node.op_type == "DequantizeLinear" and node.input[0] in stored:
                if stored[node.input[0]].data_type not in (TensorProto.INT8, TensorProto.UINT8):
                    continue
                axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
                name = node.name.removesuffix("_DequantizeLinear")
                self.weights[name] = (array(node.input[0]), array(node.input[1]), array(node.input[2]), axis)


def expose(model, names):
    """The model with the values `names` as further outputs."""
    there = {value.name for value in model.graph.output}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for name in sorted(set(names) - there - {value.name for value in model.graph.input}):
        copy.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return copy


def load(model, level="disable"):
    """A session for a model's bytes, whose numbers do not depend on the CPU: see `common.session`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = LEVELS[level]
    options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(model, inputs):
    running = load(model)
    names = [output.name for output in running.get_outputs()]
    return dict(zip(names, running.run(names, inputs)))


def check_grids(case, entry, written, values):
    """Compares each scale with the one that the float model's `values` ask for. Gives the steps that were expected."""
    made = producers(entry.model.graph)
    steps = {}
    for name, (scale, zero, members) in written.grids.items():
        seen = np.concatenate([np.ravel(values[member]) for member in members])
        low, high = min(0.0, float(seen.min())), max(0.0, float(seen.max()))
        fixed = [FIXED[made[member].op_type] for member in members if member in made and made[member].op_type in FIXED]
        if fixed:
            low, expected = fixed[0]
        else:
            expected = (high - low) / 255
        if expected < 1e-30:
            expected = float(scale)  # Nothing is known of a range of zeros but that it needs some scale.
        else:
            begin = float((np.iinfo(zero.dtype).min - int(zero)) * scale)
            case.expect(abs(begin - low) <= 0.51 * expected, f"{name}: begins at {begin}, what is seen at {low}")
        good = abs(float(scale) - expected) <= SCALE_TOLERANCE * expected
        case.expect(good, f"{name} = {float(scale):.6g}, expected {expected:.6g} for {', '.join(members)}")
        steps.update(dict.fromkeys(members, expected))
    return steps


def check_weights(case, entry, written):
    """Compares weights with the float ones. Gives half the expected step of each element, 0 where a zero stays one."""
    halves = {}
    stored = constants(entry.model.graph)
    for name, (integers, scale, zero, axis) in written.weights.items():
        if name not in stored or stored[name].data_type != TensorProto.FLOAT:
            written.unknown.append(name)
            continue
        weight = numpy_helper.to_array(stored[name]).astype(np.float64)
        if weight.shape != integers.shape:
            written.unknown.append(name)
            continue
        shape = [1] * weight.ndim
        others = None
        if scale.ndim:
            shape[axis] = -1
            others = tuple(k for k in range(weight.ndim) if k != axis)
        low, high = np.minimum(weight.min(axis=others), 0), np.maximum(weight.max(axis=others), 0)
        if integers.dtype == np.int8:
            expected = np.maximum(-low, high) / 127
        else:
            expected = (high - low) / 255
        expected = np.where(expected > 0, expected, scale)
        widest = 1.0 if name in entry.layers else WIDER
        ratio = scale / expected
        good = np.all((ratio >= 1 - SCALE_TOLERANCE) & (ratio <= widest + SCALE_TOLERANCE))
        case.expect(good, f"{name}: its scales are {ratio.min():.4g} to {ratio.max():.4g} times what they should be")
        step = np.broadcast_to(np.reshape(np.minimum(scale, expected * widest), shape), weight.shape)
        zeros = np.reshape(zero.astype(np.float64), shape if zero.ndim else [1] * weight.ndim)
        found = (integers - zeros) * np.reshape(scale.astype(np.float64), shape if scale.ndim else [1] * weight.ndim)
        case.expect(np.all(np.abs(found - weight) <= 0.501 * step), f"{name}: is not the float weight, rounded")
        halves[name] = np.where(weight == 0, 0, step / 2)
    return halves


def noisy(model, names):
    """The model with an Add behind each of the values `names`, whose other operand is an input `NAME_noise`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    inner = set(producers(graph))
    outside = [name for name in names if name not in inner]
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name in names:
                node.output[index] = f"{name}_exact"
        for index, name in enumerate(node.input):
            if name in outside:
                node.input[index] = f"{name}_noisy"
    fresh = []
    for name in names:
        pair = (name, f"{name}_noisy") if name in outside else (f"{name}_exact", name)
        fresh.append(helper.make_node("Add", [pair[0], f"{name}_noise"], [pair[1]]))
        graph.input.append(helper.make_tensor_value_info(f"{name}_noise", TensorProto.FLOAT, None))
    # In the order of the graph: each Add behind what it reads.
    ordered = []
    waiting = {node.input[0]: node for node in fresh}
    first = [node for node in fresh if node.output[0].endswith("_noisy") and node.input[0] in outside]
    ordered.extend(first)
    for node in graph.node:
        ordered.append(node)
        ordered.extend(waiting[name] for name in node.output if name in waiting)
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(ordered)
    return copy


def rms(difference):
    difference = np.asarray(difference, np.float64)
    return float(np.sqrt(np.mean(difference**2))) if difference.size else 0.0


def sensitivity(entry, reference, values, steps, halves):
    """The largest RMS error that noise of half a step makes in each output; NaN where it leads out of the finite."""
    amplitudes = {name: np.full(values[name].shape, step / 2) for name, step in steps.items()}
    amplitudes |= halves
    running = load(noisy(entry.model, list(amplitudes)).SerializeToString())
    names = [output.name for output in running.get_outputs()]
    random = np.random.default_rng(1)
    worst = dict.fromkeys(names, 0.0)
    for draw in range(2 * DRAWS):
        feed = dict(entry.inputs)
        for name, amplitude in amplitudes.items():
            if draw % 2:
                noise = random.choice([-1.0, 1.0]) * amplitude
            else:
                noise = random.uniform(-1, 1, amplitude.shape) * amplitude
            feed[f"{name}_noise"] = np.asarray(noise, np.float32)
        for name, array in zip(names, running.run(names, feed)):
            numbers = isinstance(array, np.ndarray) and array.dtype == np.float32
            if numbers and array.shape == reference[name].shape:
                finite = np.isfinite(array).all() and np.isfinite(reference[name]).all()
                off = rms(array.astype(np.float64) - reference[name]) if finite else float("nan")
                worst[name] = float(np.maximum(worst[name], off))  # A NaN stays one.
            else:
                worst[name] = float("nan")
    return worst
