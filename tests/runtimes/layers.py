"""`tare validate --layers`: what it says of whole models is what the outputs show, and a fault that was planted is its first
suspect, in models of this program and of ONNX Runtime's quantizer."""

import json
import logging
import os
import random

import models_blocks  # noqa: F401 (importing fills the catalogue)
import models_conv  # noqa: F401
import models_layers  # noqa: F401
import models_matmul  # noqa: F401
import numpy as np
import onnx
import onnxruntime as ort
from catalogue import CATALOGUE
from common import Suite, graphs, run, sqnr, tare
from faults import COMPUTE, FAULTS, MODELS, Planted, compared, excess
from layer_bodies import BODIES
from layer_bodies import samples as body_samples
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from peer import Samples

# The library of the package that runs this script.
LIBRARY = os.path.dirname(ort.__file__)
# So many faults are planted in each model, and a fault counts that leaves less than this of the outputs.
PLANTED, FELT_DB = 4, 40.0


def ours(form, mode, *more):
    def make(folder, original, calibration):
        np.savez(folder / "calibration.npz", **calibration)
        made, data = folder / "quantized.onnx", ["--data", folder / "calibration.npz"]
        tare("quantize", original, "--format", form, "--mode", mode, *more, *(data if mode == "static" else []), "--no-validation", "-o", made, "-q")
        return made

    return make


def theirs(form, per_channel):
    def make(folder, original, calibration):
        made, kinds = folder / "quantized.onnx", {"weight_type": QuantType.QInt8, "per_channel": per_channel}
        quantize_static(original, made, Samples(calibration), quant_format=form, **kinds)
        return made

    return make


def their_dynamic(folder, original, calibration):
    quantize_dynamic(original, folder / "quantized.onnx", weight_type=QuantType.QInt8)
    return folder / "quantized.onnx"


# Faults are planted in those of the first kind.
PAIRS = {"qdq": ours("qdq", "static"), "ort-qdq": theirs(QuantFormat.QDQ, False), "ort-channels": theirs(QuantFormat.QDQ, True)}
OTHERS = {
    "qoperator": ours("qoperator", "static"),
    "dynamic": ours("qdq", "dynamic"),
    "weights": ours("qdq", "weight-only"),
    "float16": ours("qdq", "float16"),
    "bfloat16": ours("qdq", "bfloat16"),
    "io-uint8": ours("qdq", "static", "--io", "uint8"),
    "io-int8-qoperator": ours("qoperator", "static", "--io", "int8"),
    "ort-qoperator": theirs(QuantFormat.QOperator, False),
    "ort-dynamic": their_dynamic,
}

OURS = {make for way, make in {**PAIRS, **OTHERS}.items() if not way.startswith("ort-")}


def check(case, entry, make):
    model, calibration, validation = entry.make()
    original = case.folder / "float.onnx"
    onnx.save(model, original)
    report = compared(case, original, make(case.folder, original, calibration), validation)
    layers = {layer["value"]: layer for layer in report["layers"]["layers"]}
    case.note(f"{len(layers)} values")
    computed = sum(node.op_type in COMPUTE for node in model.graph.node)
    case.expect(len(layers) >= computed, f"{computed} layers, and only {len(layers)} values")
    suspects = [layer["value"] for layer in layers.values() if layer["suspect"]]
    # Another quantizer's ranges may be what is wrong.
    case.expect(not suspects or make not in OURS, f"suspects in a sound model: {suspects}")
    for output in report["outputs"]:
        layer = layers.get(output["name"])
        if not case.expect(layer, f"{output['name']} is not among the values"):
            continue
        whole, sum_ = output["sqnr_db"], layer["accumulated_db"]
        good = (whole is None and sum_ is None) or abs(whole - sum_) < 0.5
        case.expect(good, f"{output['name']}: {whole} dB as an output, {sum_} as a value")


def check_bodies(case, name, mode):
    """Layers in bodies: what a body hands out has the error that the node's output has, and faults in it are found."""
    original, made = case.folder / "float.onnx", case.folder / "quantized.onnx"
    onnx.save(BODIES[name](), original)
    np.savez(case.folder / "calibration.npz", **body_samples(1, 100))
    np.savez(case.folder / "samples.npz", **body_samples(2))
    engine = ["--engine", "onnxruntime", "--onnxruntime", LIBRARY]
    data = ["--data", case.folder / "calibration.npz"] if mode == "static" else []
    tare("quantize", original, "--mode", mode, *data, *engine, "--no-validation", "-o", made, "-q")

    def looked(quantized):
        report = case.folder / "report.json"
        flags = ["--data", case.folder / "samples.npz", "--layers", "--report", report, "-q"]
        tare("validate", original, quantized, *flags, *engine)
        return json.loads(report.read_text())["layers"]

    found = looked(made)
    layers = {layer["value"]: layer for layer in found["layers"]}
    case.note(f"{len(layers)} values")
    case.expect(not found["bodies"], f"not looked into: {found['bodies']}")
    suspects = [value for value, layer in layers.items() if layer["suspect"]]
    case.expect(not suspects, f"suspects in a sound model: {suspects}")
    for inside, outside in SHOWN[name]:
        both = [layers[value]["accumulated_db"] if value in layers else "not there" for value in (inside, outside)]
        same = both[0] == both[1] if None in both or "not there" in both else abs(both[0] - both[1]) < 0.5
        case.expect(same and "not there" not in both, f"{inside} and {outside}: {both} dB")
    if mode != "weight-only":
        return
    # One channel of weights in a body at zero.
    model = onnx.load(made)
    bodies = [graph for graph in graphs(model.graph) if graph is not model.graph]
    stored = [t for graph in [*bodies, model.graph] for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
    weight = next(t for t in stored if len(t.dims) == 2)
    array = onnx.numpy_helper.to_array(weight).copy()
    array[:, 5] = 0
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    onnx.save(model, case.folder / "bad.onnx")
    first = sorted(looked(case.folder / "bad.onnx")["layers"], key=excess, reverse=True)[0]
    inside = first["value"].startswith(("loop_", "scan_")) and first["op_type"] == "MatMul"
    case.expect(inside and first["suspect"], f"the first suspect is {first}")


def check_planted(case, entry, make):
    model, calibration, validation = entry.make()
    original = case.folder / "float.onnx"
    onnx.save(model, original)
    quantized = make(case.folder, original, calibration)
    expected = run(quantized, validation)
    planted = 0
    for seed in range(10 * PLANTED):
        chance = random.Random(seed)
        net = Planted(quantized)
        fault = FAULTS[seed % len(FAULTS)]
        wanted = getattr(net, fault)(chance)
        bad = case.folder / f"bad{seed}.onnx"
        onnx.save(net.model, bad)
        if wanted is None or min(sqnr(expected[k], v) for k, v in run(bad, validation).items()) > FELT_DB:
            continue
        layers = sorted(compared(case, original, bad, validation)["layers"]["layers"], key=excess, reverse=True)
        first = layers[0]
        case.expect(first["suspect"] and first["value"] in wanted, f"{fault} {seed}: {first} comes before {sorted(wanted)}")
        planted += 1
        if planted == PLANTED:
            break
    case.note(f"{planted} planted")
    case.expect(planted == PLANTED, "too few faults could be felt")


# What bodies show, and where that comes out of their node.
SHOWN = {
    "loop": [("loop_row", "rows")],
    "loop-grows": [("loop_row", "rows")],
    "loop-by-data": [("loop_row", "rows")],
    "scan": [("scan_shown", "all")],
    # As a Scan over the batch, whose body has the one over the rows.
    "old-scan": [("scan_scan_body_0_1_shown", "all")],
    "choice": [],
}


def main():
    logging.disable(logging.WARNING)
    suite = Suite()
    for entry in CATALOGUE:
        if entry.name not in MODELS:
            continue
        for ways, how in [({**PAIRS, **OTHERS}, check), (PAIRS, check_planted)]:
            for way, make in ways.items():
                name = f"{entry.name}-{way}" + ("-planted" if how is check_planted else "")
                if suite.chosen(name):
                    with suite.case(name) as case:
                        how(case, entry, make)
    for name in BODIES:
        for mode in ("dynamic", "weight-only", "float16", "static"):
            if suite.chosen(case_name := f"bodies-{name}-{mode}"):
                with suite.case(case_name) as case:
                    check_bodies(case, name, mode)
    suite.finish()


main()
