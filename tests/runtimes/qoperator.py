"""Models in operator form: every generated model as operators on integers, held against its QDQ form and ONNX Runtime."""

import collections
import json
import re

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
import onnxruntime as ort
from catalogue import CATALOGUE
from common import Suite, interface, report_outputs, run, sqnr, tare

# The report rests on a float simulation, ONNX Runtime's kernels round a step here and there otherwise.
AGREEMENT_DB = 0.3
# Above it, a handful of such steps is all the error there is.
CHANCE_DB = 45.0
# How far the outputs of both forms may lie apart, against their own error: the same kernels run, if in another order.
FORMS_DB = 3.0
# What a net without a policy of its own is also quantized with.
VARIANTS = {
    "": "",
    "-per_tensor": "weights: { granularity: per_tensor }\n",
    "-int8": "activations: { type: int8 }\n",
    "-int8-symmetric": "activations: { type: int8, symmetric: true }\n",
    "-uint8-weights": "weights: { type: uint8, granularity: per_tensor, symmetric: false }\n",
}
LEVELS = ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_LAYOUT", "ORT_ENABLE_ALL"]
FORMS = re.compile(r"QLinear\w+|QGemm|MatMulIntegerToFloat")


def loads(model, level):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    try:
        ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception:
        return False
    return True


def forms(path):
    return collections.Counter(n.op_type for n in onnx.load(path).graph.node if FORMS.fullmatch(n.op_type))


def check(case, entry, variant):
    folder = case.folder
    model, calibration, validation = entry.make()
    original = folder / "float.onnx"
    onnx.save(model, original)
    np.savez(folder / "calibration.npz", **calibration)
    np.savez(folder / "validation.npz", **validation)
    data = ["--data", folder / "calibration.npz", "--validation", folder / "validation.npz"]
    made, reports = {}, {}
    for form in ["qdq", "qoperator"]:
        policy = folder / f"{form}.yaml"
        policy.write_text(f"version: 1\nformat: {form}\n" + entry.policy + variant)
        made[form], reports[form] = folder / f"{form}.onnx", folder / f"{form}.json"
        tare("quantize", original, "-c", policy, *data, "-o", made[form], "--report", reports[form], "-q")
    made_of = made["qoperator"]
    onnx.checker.check_model(str(made_of))
    case.expect(interface(original) == interface(made_of), "inputs or outputs changed their names, types or shapes")
    for level in LEVELS:
        # ONNX Runtime 1.31.1 turns int8 into uint8 and forgets `output_dtype` of a QuantizeLinear at opset 21: neither form
        # loads then.
        if loads(made["qdq"], level):
            case.expect(loads(made_of, level), f"does not load at {level}")
        else:
            case.note(f"neither form loads at {level}")

    listing = tare("plan", original, "-c", folder / "qoperator.yaml").stdout.split("# operators\n")[1]
    words = [line.split(": ", 1)[1] for line in listing.splitlines()]
    planned = collections.Counter(word for word in words if FORMS.fullmatch(word))
    found = forms(made_of)
    softmax = found.pop("QLinearSoftmax", 0)
    report = json.loads(reports["qoperator"].read_text())
    # Only samples tell where channels are equalized through HardSwish, whose Add becomes a Conv then.
    gates = min(planned["QLinearAdd"] - found["QLinearAdd"], report["calibration"].get("equalized", 0))
    if gates > 0:
        planned.update(QLinearAdd=-gates, QLinearConv=gates)
    # Joins of unlike ranges are taken back to float when these are known.
    if not any("unlike" in group["reason"] for group in report["placement"]["float"]):
        case.expect(found == planned, f"planned {dict(planned)}, found {dict(found)}")
        kept = sum(word.startswith("between") for word in words)
        said = sum(int(n) for w in report["warnings"] for n in re.findall(r"^between .* (\d+) in all", w))
        case.expect(kept == said, f"{kept} nodes keep their pairs, the report says {said}")
    case.note(" ".join(f"{k}:{v}" for k, v in sorted(found.items())) + (f" QLinearSoftmax:{softmax}" if softmax else ""))

    expected = run(original, validation)
    plain = run(made_of, validation, precise=True)
    fuses = entry.kernels and loads(made["qdq"], LEVELS[-1])
    fused = run(made["qdq"], validation, optimize=True, precise=True) if fuses else None
    stated = report_outputs(reports["qoperator"])
    for name, reference in expected.items():
        measured = sqnr(reference, plain[name])
        case.note(f"{name} {measured:.1f} dB")
        if min(stated[name], measured) < CHANCE_DB:
            good = abs(stated[name] - measured) <= AGREEMENT_DB
            case.expect(good, f"{name}: the report states {stated[name]:.2f} dB, ONNX Runtime shows {measured:.2f}")
        if fused and np.isfinite(measured):
            other = sqnr(reference, fused[name])
            case.expect(measured >= other - FORMS_DB, f"{name}: {measured:.2f} dB, {other:.2f} in QDQ form")
            case.note(f"forms apart {sqnr(fused[name], plain[name]):.1f} dB")


def main():
    suite = Suite()
    for entry in CATALOGUE:
        for name, variant in VARIANTS.items() if not entry.policy else [("", "")]:
            if suite.chosen(entry.name + name) and "weight-only" not in entry.policy:
                with suite.case(entry.name + name) as case:
                    check(case, entry, variant)
    suite.finish()


main()
