"""Models that are quantized in part, by ONNX Runtime or by this program: what they have stays bit for bit, the rest is added."""

import json
import logging
import math
from types import SimpleNamespace

import models_blocks  # noqa: F401 (importing fills the catalogue)
import models_conv  # noqa: F401
import models_graph  # noqa: F401
import models_layers  # noqa: F401
import models_matmul  # noqa: F401
import models_operators  # noqa: F401
import models_qoperator  # noqa: F401
import models_text  # noqa: F401
import numpy as np
import onnx
from catalogue import CATALOGUE
from common import FLOAT_COMPUTE, ROOT, Suite, interface, report_outputs, run, sqnr, tare
from onnx import numpy_helper
from onnxruntime.quantization import (
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from peer import Samples

# Errors of both halves may add up so that the whole is this much worse than their sum.
MARGIN_DB = 3.0
# Above it, a handful of steps more or less is all the error there is.
CHANCE_DB = 40.0
# The report rests on a float simulation, ONNX Runtime's kernels round a step here and there otherwise.
AGREEMENT_DB = 1.0
# So many ways are tried with each generated model.
EACH = 2
LAYERS = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
QUANTIZERS = {"QuantizeLinear", "DynamicQuantizeLinear"}


def chosen(model, which):
    """The names of the layers that are left out: every other one, the first or the last."""
    layers = [node.name for node in model.graph.node if node.op_type in LAYERS]
    return {"even": layers[::2], "odd": layers[1::2], "first": layers[:1], "last": layers[-1:], "none": []}[which]


def static(form, which, per_channel, activations):
    def make(case, original, calibration):
        made = case.folder / "partly.onnx"
        left_out = chosen(onnx.load(original), which)
        kinds = {"activation_type": activations, "weight_type": QuantType.QInt8, "per_channel": per_channel}
        quantize_static(original, made, Samples(calibration), quant_format=form, nodes_to_exclude=left_out, **kinds)
        return made

    return make


def dynamic(which, weights):
    def make(case, original, calibration):
        made = case.folder / "partly.onnx"
        left_out = chosen(onnx.load(original), which)
        quantize_dynamic(original, made, weight_type=weights, nodes_to_exclude=left_out)
        return made

    return make


def ours(policy, which):
    def make(case, original, calibration):
        made, path = case.folder / "partly.onnx", case.folder / "partly.yaml"
        rules = [f"- {{ match: {{ node: {json.dumps(name)} }}, quantize: false }}" for name in chosen(onnx.load(original), which)]
        path.write_text("version: 1\n" + policy + ("\nrules:\n" + "\n".join(rules) if rules else "") + "\n")
        np.savez(case.folder / "first.npz", **calibration)
        data = [] if "mode" in policy else ["--data", case.folder / "first.npz"]
        tare("quantize", original, "-c", path, *data, "--no-validation", "-o", made, "-q")
        return made

    return make


QDQ, QOPERATOR, U8, S8 = QuantFormat.QDQ, QuantFormat.QOperator, QuantType.QUInt8, QuantType.QInt8
# How a part is quantized, and the policy that completes it.
WAYS = {
    "qdq-even": (static(QDQ, "even", True, U8), ""),
    "qdq-odd-int8": (static(QDQ, "odd", False, S8), ""),
    "qdq-first-int8-all": (static(QDQ, "first", True, S8), "activations: { type: int8 }"),
    "qoperator-last": (static(QOPERATOR, "last", True, U8), ""),
    "qoperator-even": (static(QOPERATOR, "even", False, U8), "format: qoperator"),
    "dynamic-odd": (dynamic("odd", QuantType.QInt8), ""),
    "dynamic-even-dynamic": (dynamic("even", QuantType.QUInt8), "mode: dynamic"),
    "weights-even": (ours("mode: weight-only", "even"), ""),
    "weights-int4": (ours("mode: weight-only\nweights: { type: int4, granularity: per_block }", "odd"), ""),
    "weights-float8": (ours("mode: weight-only\nweights: { type: float8e4m3fn }", "even"), ""),
    "weights-uint8-dynamic": (ours("mode: weight-only\nweights: { type: uint8, granularity: per_block }", "odd"), "mode: dynamic"),
    "own-dynamic-weight-only": (ours("mode: dynamic", "even"), "mode: weight-only"),
    "own-odd": (ours("weights: { granularity: per_tensor }", "odd"), ""),
    "own-whole": (ours("", "none"), ""),
    "own-uint16": (ours("contrib: true\nactivations: { type: uint16 }", "even"), ""),
    "qdq-even-weight-only": (static(QDQ, "even", True, U8), "mode: weight-only"),
    "qdq-odd-dynamic": (static(QDQ, "odd", True, U8), "mode: dynamic"),
    "qdq-even-float16": (static(QDQ, "even", True, U8), "mode: float16"),
}


def stored(path):
    """The grids of activations, the stored constants with their scales and zero points, and the int32 biases of a quantized model."""
    graph = onnx.load(path).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    types = {t.name: t.data_type for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensors[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            types[node.output[0]] = node.attribute[0].t.data_type
    activations, made, constants, biases = set(), set(), set(), {}

    def grid(scale, zero):
        numbers = tensors[scale]
        zeros = tensors[zero] if zero else np.zeros(numbers.shape, np.uint8)
        zeros = np.broadcast_to(zeros.reshape(-1), (numbers.size,)) if zeros.size == 1 else zeros
        return numbers.astype(np.float32).tobytes(), tuple(np.asarray(zeros, np.int64).reshape(-1))

    def constant(name, scale, zero):
        if types[name] == onnx.TensorProto.INT32:
            numbers = tensors[name].astype(np.float32) * tensors[scale]
            biases[tensors[name].tobytes()] = numbers.astype(np.float32).tobytes()
        else:
            constants.add((types[name], tensors[name].shape, tensors[name].tobytes(), *grid(scale, zero)))

    for node in graph.node:
        inputs = [*node.input, "", ""]
        if node.op_type == "QuantizeLinear" and inputs[1] in tensors:
            kind = types[inputs[2]] if inputs[2] else onnx.TensorProto.UINT8
            activations.add((kind, *grid(inputs[1], inputs[2])))
        if node.op_type == "DequantizeLinear" and inputs[0] in tensors:
            constant(*inputs[:3])
        if node.op_type in ("QLinearConv", "QLinearMatMul", "QGemm"):
            if inputs[3] in tensors:
                constant(*inputs[3:6])
            if node.op_type != "QLinearMatMul" and inputs[8 if node.op_type == "QLinearConv" else 6] in tensors:
                # What makes integers keeps it as it is.
                biases[tensors[inputs[8 if node.op_type == "QLinearConv" else 6]].tobytes()] = None
        for scale, zero in zip(inputs, inputs[1:]):
            # Scale and zero point of what an operator on integers makes.
            if "Linear" in node.op_type or node.op_type == "QGemm":
                single = scale in tensors and zero in tensors and tensors[scale].size == tensors[zero].size == 1
                if single and tensors[scale].dtype == np.float32:
                    made.add((types[zero], *grid(scale, zero)))
        looked_up = {"MatMulInteger": inputs[1], "ConvInteger": inputs[1], "Gather": inputs[0]}.get(node.op_type)
        if looked_up in tensors and tensors[looked_up].dtype in (np.int8, np.uint8):
            constants.add((types[looked_up], tensors[looked_up].shape, tensors[looked_up].tobytes()))
    return activations, activations | made, constants, biases


def is_kept(found, kept):
    # Of a product of integers, and of what is looked up as integers, the scales stand in another node.
    return found in kept or any(found[:3] == other[:3] for other in kept if 3 in (len(found), len(other)))


def noise(reference, found):
    return {name: 10 ** (-sqnr(reference[name], found[name]) / 10) for name in reference}


def float_layers(report):
    groups = json.loads(report.read_text())["placement"]["float"]
    return [name for group in groups if group["op_type"] in FLOAT_COMPUTE for name in group["nodes"]]


def check(case, entry, way):
    folder = case.folder
    make, policy = WAYS[way]
    model, calibration, validation = entry.make()
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{index}"
    original, plain, completed = folder / "float.onnx", folder / "plain.onnx", folder / "completed.onnx"
    onnx.save(model, original)
    np.savez(folder / "calibration.npz", **calibration)
    np.savez(folder / "validation.npz", **validation)
    try:
        partly = make(case, original, calibration)
        before = run(partly, validation)
        run(partly, validation, optimize=True)
    except Exception as error:
        # What another quantizer cannot do is no test of completing.
        case.note(f"not quantized: {str(error)[:80]!r}")
        return
    activations, _, constants, biases = stored(partly)
    if not constants:
        case.note("nothing quantized")
        return
    path, report = folder / "policy.yaml", folder / "completed.json"
    path.write_text(f"version: 1\nquantized_input: complete\n{policy}\n")
    data = ["--data", folder / "calibration.npz", "--validation", folder / "validation.npz"]
    tare("quantize", partly, "-c", path, *data, "-o", completed, "--report", report, "-q")
    onnx.checker.check_model(str(completed))
    case.expect(interface(partly) == interface(completed), "inputs or outputs changed their names, types or shapes")
    expected, found = run(original, validation), run(completed, validation)
    # Above it, ONNX Runtime takes floats of 8 bits for integers.
    run(completed, validation, optimize="basic" if "float8" in way else True)
    kept = stored(completed)
    lost = [grid[:1] + grid[2:] for grid in activations if grid not in kept[1]]
    case.expect(not lost, f"{len(lost)} of {len(activations)} grids of activations changed: {lost[:3]}")
    lost = [constant[:2] for constant in constants if not is_kept(constant, kept[2])]
    case.expect(not lost, f"{len(lost)} of {len(constants)} stored constants changed: {lost[:3]}")
    floats = {numpy_helper.to_array(t).tobytes() for t in onnx.load(completed).graph.initializer} if "-dynamic" in way else set()
    lost = sum(bias not in kept[3] and numbers not in floats for bias, numbers in biases.items())
    # One number for all channels becomes as many alike, and the beta of a Gemm goes into its bias.
    changes = any(kind in case.name for kind in ("bias_one", "bias_scalar", "gemm_beta"))
    case.expect(not lost or changes, f"{lost} of {len(biases)} biases changed")

    plain_report = folder / "plain.json"
    path.write_text(f"version: 1\n{policy}\n")
    tare("quantize", original, "-c", path, *data, "-o", plain, "--report", plain_report, "-q")
    allowed, left = float_layers(plain_report), float_layers(report)
    # A weight with axes of length 1 in front is no matrix, and stays as it is; a table is not stored again, transposed, and
    # alpha is not folded into a weight that stays.
    stays = "matmul_rank" in case.name or len(left) == 1 and case.name.startswith(("shared_embedding", "gemm_constant_first"))
    case.expect(len(left) <= len(allowed) or stays, f"in float: {left}, without a first part {allowed}")
    parts = [noise(expected, before), noise(expected, run(plain, validation))]
    for name, reference in expected.items():
        after = sqnr(reference, found[name])
        both = -10 * math.log10(max(sum(part[name] for part in parts), 1e-30))
        case.note(f"{name} {sqnr(reference, before[name]):.1f} -> {after:.1f} dB, both {both:.1f}")
        case.expect(after >= min(both - MARGIN_DB, CHANCE_DB), f"{name}: {after:.1f} dB, of both parts {both:.1f}")
    back = folder / "back.onnx"
    tare("dequantize", partly, "-o", back, "-q")
    floats = run(back, validation)
    for name, stated in report_outputs(report).items():
        measured = sqnr(floats[name], found[name])
        near = abs(stated - measured) <= AGREEMENT_DB or min(stated, measured) > CHANCE_DB
        case.expect(near, f"{name}: {stated:.1f} dB by the report, {measured:.1f} by ONNX Runtime")


def pictures():
    """The classifier that comes with the converter, on noise like its pictures."""
    model = onnx.load(ROOT / "calibration" / "fashion" / "model.onnx")
    random = np.random.default_rng(5)
    name = model.graph.input[0].name

    def samples(count):
        smooth = random.normal(size=(count, 1, 7, 7)).astype(np.float32)
        return {name: np.kron(smooth, np.ones((1, 1, 4, 4), np.float32))}

    return model, samples(24), samples(12)


def main():
    logging.disable(logging.WARNING)
    suite = Suite()
    entries = [(entry.name, entry) for entry in CATALOGUE if not entry.policy]
    entries.insert(0, ("classifier", SimpleNamespace(make=pictures)))
    for index, (name, entry) in enumerate(entries):
        # All ways for the first and for what was asked for; otherwise each model takes the next few.
        ways = list(WAYS)
        if index > 0 and not suite.only:
            ways = [ways[(index * EACH + turn) % len(ways)] for turn in range(EACH)]
        for way in ways:
            if suite.chosen(f"{name}-{way}"):
                with suite.case(f"{name}-{way}") as case:
                    check(case, entry, way)
    suite.finish()


main()
