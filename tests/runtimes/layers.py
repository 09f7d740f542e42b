"""`tare validate --layers`: what it says of whole models is what the outputs show, and a fault that was planted is its first
suspect, in models of this program and of ONNX Runtime's quantizer."""

import logging
import random

import models_blocks  # noqa: F401 (importing fills the catalogue)
import models_conv  # noqa: F401
import models_layers  # noqa: F401
import models_matmul  # noqa: F401
import numpy as np
import onnx
from catalogue import CATALOGUE
from common import Suite, run, sqnr, tare
from faults import COMPUTE, FAULTS, MODELS, Planted, compared, excess
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from peer import Samples

# So many faults are planted in each model, and a fault counts that leaves less than this of the outputs.
PLANTED, FELT_DB = 4, 40.0
# From here on the program calls a value suspect.
SUSPECT_DB = 7.0


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
    suspects = [layer["value"] for layer in layers.values() if excess(layer) >= SUSPECT_DB]
    # Another quantizer's ranges may be what is wrong.
    case.expect(not suspects or make not in OURS, f"suspects in a sound model: {suspects}")
    for output in report["outputs"]:
        layer = layers.get(output["name"])
        if not case.expect(layer, f"{output['name']} is not among the values"):
            continue
        whole, sum_ = output["sqnr_db"], layer["accumulated_db"]
        good = (whole is None and sum_ is None) or abs(whole - sum_) < 0.5
        case.expect(good, f"{output['name']}: {whole} dB as an output, {sum_} as a value")


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
        case.expect(first["value"] in wanted, f"{fault} {seed}: {first} comes before {sorted(wanted)}")
        planted += 1
        if planted == PLANTED:
            break
    case.note(f"{planted} planted")
    case.expect(planted == PLANTED, "too few faults could be felt")


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
    suite.finish()


main()
