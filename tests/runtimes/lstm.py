"""LSTM as DynamicQuantizeLSTM: written, re-executed and turned back, over what the operator has. Ours agrees with ONNX Runtime's
on one thread; on several it takes the range of the hidden state over parts of the batch."""

import itertools
import json
import logging

import numpy as np
import onnx
import onnxruntime as ort
from common import Suite, report_outputs, sqnr, tare
from net import Net
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

STEPS, INPUT, HIDDEN = 9, 11, 8
SAMPLES = 6
# What eight bits for weights and activations leave, and one scale for all of a matrix.
BOUND_DB = {"per_channel": 28.0, "per_tensor": 24.0}
# Both round alike: the report says the same to a tenth.
AGREEMENT_DB = 0.1

WEIGHTS = [
    ("int8", "per_channel", True),
    ("uint8", "per_channel", True),
    ("int8", "per_tensor", True),
    ("int8", "per_tensor", False),
    ("uint8", "per_tensor", False),
]
# What a layer has beside its weights.
PARTS = {
    "bare": (),
    "bias": ("bias",),
    "lengths": ("bias", "lengths"),
    "states": ("bias", "states"),
    "peepholes": ("bias", "peepholes"),
    "clip": ("bias", "clip"),
    "coupled": ("bias", "coupled"),
    "all": ("bias", "lengths", "states", "peepholes", "clip"),
    "last": ("bias", "lengths", "last"),
}


def layer(net, direction, parts):
    """One sample is a batch of sequences; those of the second row end before the last step."""
    count, rows = (2 if direction == "bidirectional" else 1), 3
    net.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [STEPS, rows, INPUT]))
    weights = [net.constant(net.weights(count, 4 * HIDDEN, k, fan_in=k)) for k in (INPUT, HIDDEN)]
    inputs = ["x", *weights, net.constant(net.bias(count, 8 * HIDDEN)) if "bias" in parts else ""]
    inputs.append(net.constant([STEPS, STEPS - 4, 1], dtype=np.int32) if "lengths" in parts else "")
    state = lambda: net.constant(net.bias(count, rows, HIDDEN, size=0.5)) if "states" in parts else ""
    inputs += [state(), state(), net.constant(net.bias(count, 3 * HIDDEN, size=0.5)) if "peepholes" in parts else ""]
    attributes = {"hidden_size": HIDDEN} | ({"direction": direction} if direction != "forward" else {})
    attributes |= ({"clip": 0.6} if "clip" in parts else {}) | ({"input_forget": 1} if "coupled" in parts else {})
    while inputs[-1] == "":
        inputs.pop()
    made = ["" if "last" in parts else "y", "h", "c"]
    net.nodes.append(helper.make_node("LSTM", inputs, made, name="layer", **attributes))
    shapes = {"y": [STEPS, count, rows, HIDDEN], "h": [count, rows, HIDDEN], "c": [count, rows, HIDDEN]}
    net.outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in made if name]


def run(path, samples, optimize=True):
    """Outputs by name, sample by sample, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options)
    names = [output.name for output in session.get_outputs()]
    found = [session.run(None, {"x": sample}) for sample in samples]
    return {name: np.stack([one[k] for one in found]) for k, name in enumerate(names)}


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def stored(path):
    """The integers, scales and zero points of the operator, by input."""
    graph = onnx.load(path).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    (node,) = [node for node in graph.node if node.op_type == "DynamicQuantizeLSTM"]
    return {slot: constants[node.input[slot]] for slot in (1, 2, 8, 9, 10, 11)}


def save(case, name, parts, direction, opset=14):
    net = Net(name, opset)
    layer(net, direction, parts)
    original = case.folder / "float.onnx"
    onnx.save(net.model(), original)
    samples = net.random.normal(0, 1, (SAMPLES, STEPS, 3, INPUT)).astype(np.float32)
    folder = case.folder / "samples"
    folder.mkdir()
    for k, sample in enumerate(samples):
        data = folder / f"test_data_set_{k}"
        data.mkdir()
        (data / "input_0.pb").write_bytes(numpy_helper.from_array(sample, "x").SerializeToString())
    return original, samples, folder


def check(case, direction, parts, dtype, granularity, symmetric):
    original, samples, folder = save(case, case.name, parts, direction)
    made, report, policy = case.folder / "made.onnx", case.folder / "report.json", case.folder / "policy.yaml"
    weights = f"form: contrib, type: {dtype}, granularity: {granularity}, symmetric: {str(symmetric).lower()}"
    policy.write_text(f"version: 1\nmode: dynamic\nweights: {{ {weights} }}\n")
    tare("quantize", original, "-c", policy, "-o", made, "-q", "--validation", folder, "--report", report)
    onnx.checker.check_model(str(made), full_check=True)
    case.expect(operators(made) == ["DynamicQuantizeLSTM"], f"made {operators(made)}")
    placement = json.loads(report.read_text())["placement"]
    case.expect(placement["integer"] == 1 and not placement["float"], f"the report counts {placement}")
    expected, stated = run(original, samples), report_outputs(report)
    for optimize in [False, True]:
        for name, found in run(made, samples, optimize).items():
            measured = sqnr(expected[name], found)
            case.expect(measured >= BOUND_DB[granularity], f"{name}: SQNR {measured:.1f} dB")
            good = abs(stated[name] - measured) <= AGREEMENT_DB
            case.expect(good, f"{name}: the report states {stated[name]:.2f} dB, ONNX Runtime shows {measured:.2f}")
            if optimize:
                case.note(f"{name} {measured:.1f} dB")
    expect_back(case, made, samples, expected, granularity)


def expect_back(case, made, samples, expected, granularity):
    """What is made of it is a float LSTM, and of that the same again."""
    back, again = case.folder / "back.onnx", case.folder / "again.onnx"
    tare("dequantize", made, "-o", back, "-q")
    onnx.checker.check_model(str(back), full_check=True)
    case.expect(operators(back) == ["LSTM"], f"turned back to {operators(back)}")
    for name, found in run(back, samples).items():
        measured = sqnr(expected[name], found)
        case.expect(measured >= BOUND_DB[granularity], f"{name}: SQNR {measured:.1f} dB as floats")
    for mode in ["dynamic", "weight-only"]:
        tare("quantize", made, "--quantized-input", "complete", "--mode", mode, "--no-validation", "-o", again, "-q")
        same = all(np.array_equal(array, stored(again)[slot]) for slot, array in stored(made).items())
        case.expect(same, f"completed by mode {mode}, it has other integers or grids")
        opset = {o.domain: o.version for o in onnx.load(again).opset_import}[""]
        case.expect(opset == 14, f"completed by mode {mode}, the model has opset {opset}")


def check_peer(case, direction, dtype):
    """What ONNX Runtime's own quantizer writes."""
    original, samples, _ = save(case, case.name, PARTS["states"], direction)
    made = case.folder / "theirs.onnx"
    quantize_dynamic(original, made, weight_type=dtype)
    case.expect(operators(made) == ["DynamicQuantizeLSTM"], f"ONNX Runtime made {operators(made)}")
    expect_back(case, made, samples, run(original, samples), "per_tensor")


def main():
    logging.disable(logging.WARNING)
    suite = Suite()
    directions = ["forward", "reverse", "bidirectional"]
    for direction, (words, parts), (dtype, granularity, symmetric) in itertools.product(directions, PARTS.items(), WEIGHTS):
        name = f"{direction}-{words}-{dtype}-{granularity}-{'symmetric' if symmetric else 'asymmetric'}"
        if suite.chosen(name):
            with suite.case(name) as case:
                check(case, direction, parts, dtype, granularity, symmetric)
    for direction, dtype in itertools.product(directions, [QuantType.QInt8, QuantType.QUInt8]):
        name = f"peer-{direction}-{dtype.name}"
        if suite.chosen(name):
            with suite.case(name) as case:
                check_peer(case, direction, dtype)
    suite.finish()


main()
