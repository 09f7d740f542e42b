"""Quantized models turned back into float ones: those of this program, and those of ONNX Runtime's quantizers."""

import logging

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
from common import Suite, interface, run, sqnr, tare
from onnxruntime.quantization import (
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from peer import Samples

# What is left of the difference is the rounding of weights, by their type.
WEIGHTS_DB = {"contrib-int4": 6.0, "operators-int4": 6.0, "nf4": 6.0, "int4": 8.0, "float8": 16.0, "int8": 30.0}
# Below it, what ONNX Runtime's quantizer made computes something else than the model did.
BROKEN_DB = 20.0
QUANTIZED = ("Linear", "Integer", "QGemm", "NBits", "Bnb4", "BlockQuantized")


def ours(form, policy=""):
    def make(case, original, calibration, entry):
        path = case.folder / "policy.yaml"
        path.write_text(f"version: 1\n{policy or f'format: {form}'}\n" + entry.policy)
        np.savez(case.folder / "calibration.npz", **calibration)
        data = [] if "mode" in policy else ["--data", case.folder / "calibration.npz"]
        made = case.folder / "quantized.onnx"
        tare("quantize", original, "-c", path, *data, "--no-validation", "-o", made, "-q")
        return made

    return make


def static(form, per_channel=False, activations=QuantType.QUInt8):
    def make(case, original, calibration, entry):
        made = case.folder / "quantized.onnx"
        options = {"ActivationSymmetric": False}
        kinds = {"activation_type": activations, "weight_type": QuantType.QInt8, "per_channel": per_channel}
        quantize_static(original, made, Samples(calibration), quant_format=form, extra_options=options, **kinds)
        return made

    return make


def dynamic(per_channel):
    def make(case, original, calibration, entry):
        made = case.folder / "quantized.onnx"
        quantize_dynamic(original, made, weight_type=QuantType.QInt8, per_channel=per_channel)
        return made

    return make


WAYS = {
    "qdq": ours("qdq"),
    "qoperator": ours("qoperator"),
    "dynamic": ours("", "mode: dynamic"),
    "weights-int8": ours("", "mode: weight-only"),
    "weights-int4": ours("", "mode: weight-only\nweights: { type: int4, granularity: per_block }"),
    "contrib": ours("", "contrib: true\nactivations: { type: uint16 }"),
    "contrib-int4": ours("", "contrib: true\nmode: weight-only\nweights: { type: int4 }"),
    "contrib-int4-channels": ours("", "contrib: true\nmode: weight-only\nweights: { type: int4, granularity: per_channel }"),
    "operators-int4": ours("", "mode: weight-only\nweights: { type: int4, granularity: per_block, form: contrib }"),
    "operators-uint8": ours("", "mode: weight-only\nweights: { type: uint8, granularity: per_block, block_size: 16, form: contrib }"),
    "operators-nf4": ours("", "mode: weight-only\nweights: { type: nf4, granularity: per_block, form: contrib }"),
    "float8": ours("", "activations: { type: float8e4m3fn }\nweights: { type: float8e4m3fn }"),
    "weights-float8": ours("", "mode: weight-only\nweights: { type: float8e4m3fn, granularity: per_block }"),
    "ort-qdq": static(QuantFormat.QDQ),
    "ort-qdq-channels": static(QuantFormat.QDQ, True),
    "ort-qoperator": static(QuantFormat.QOperator),
    "ort-qoperator-int8": static(QuantFormat.QOperator, True, QuantType.QInt8),
    "ort-dynamic": dynamic(False),
    "ort-dynamic-channels": dynamic(True),
}


# Layers are refitted here, which makes up for what the grids of activations do: floats, which have none, may be further off.
REFITTED = ("qdq", "qoperator", "contrib", "float8")

# A Clip of both signs that ONNX Runtime's quantizer took out cannot be told from a range.
LOST = ("clip_of_both_signs",)


def operators(path):
    return {node.op_type for node in onnx.load(path).graph.node}


def check(case, entry, way):
    model, calibration, validation = entry.make()
    original, back = case.folder / "float.onnx", case.folder / "back.onnx"
    onnx.save(model, original)
    try:
        quantized = WAYS[way](case, original, calibration, entry)
        found = run(quantized, validation)
    except Exception as error:
        if not way.startswith("ort"):
            raise
        # What ONNX Runtime's quantizer cannot do is no test of ours.
        case.note(f"not quantized: {str(error)[:80]!r}")
        return
    if not any(word in op for op in operators(quantized) for word in QUANTIZED):
        case.note("nothing quantized")
        return
    tare("dequantize", quantized, "-o", back, "-q")
    onnx.checker.check_model(str(back), full_check=True)
    left = [op for op in operators(back) if any(word in op for word in QUANTIZED)]
    case.expect(not left, f"quantized still: {left}")
    case.expect(interface(quantized) == interface(back), "inputs or outputs changed their names, types or shapes")
    expected, float_again = run(original, validation), run(back, validation)
    for name, reference in expected.items():
        before, after = sqnr(reference, found[name]), sqnr(reference, float_again[name])
        case.note(f"{name} {before:.1f} -> {after:.1f} dB")
        # The errors of weights and activations may cancel out here and there.
        least = before - 2.0 if way not in REFITTED else 0.0
        case.expect(after >= least, f"{name}: {before:.1f} dB quantized, {after:.1f} as floats")
        least = WEIGHTS_DB[next((word for word in WEIGHTS_DB if word in way), "int8")]
        if way.startswith("ort") and before < BROKEN_DB:
            # Wrong numbers stay wrong.
            continue
        case.expect(after >= min(least, entry.bound), f"{name}: {after:.1f} dB as floats, expected {least} or more")


def skipped(entry, way):
    lost = way.startswith("ort") and any(word in entry.name for word in LOST)
    return lost or entry.policy and way.startswith(("ort", "weights", "operators", "dynamic", "contrib", "float8"))


def main():
    logging.disable(logging.WARNING)
    suite = Suite()
    for entry in CATALOGUE:
        for way in WAYS:
            name = f"{entry.name}-{way}"
            if suite.chosen(name) and not skipped(entry, way):
                with suite.case(name) as case:
                    check(case, entry, way)
    suite.finish()


main()
