"""Small generated models, each quantized and held against ONNX Runtime and the ONNX checker."""

import models_blocks  # noqa: F401 (importing fills the catalogue)
import models_conv  # noqa: F401
import models_graph  # noqa: F401
import models_layers  # noqa: F401
import models_matmul  # noqa: F401
import models_operators  # noqa: F401
import models_text  # noqa: F401
import numpy as np
import onnx
from catalogue import CATALOGUE
from common import Suite, float_compute, interface, report_outputs, run, sqnr, tare

# What the converter says of the loss, and what ONNX Runtime shows, may differ by this much: both run the same float
# simulation, but sum in another order, so that now and then a number falls on the other side of a rounding edge.
AGREEMENT_DB = 0.3
# Above it, a handful of such edges is all the error there is, and their number is chance.
CHANCE_DB = 70.0
# Integer kernels round a step here and there otherwise than the simulation does.
KERNELS_DB = 3.0


def quantize(case, entry):
    """Writes model and samples, and quantizes; gives the paths of the float model, the quantized one and the report."""
    folder = case.folder
    model, calibration, validation = entry.make()
    paths = folder / "float.onnx", folder / "int8.onnx", folder / "report.json"
    # A test whose own model is invalid tests nothing.
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, paths[0])
    np.savez(folder / "calibration.npz", **calibration)
    np.savez(folder / "validation.npz", **validation)
    data = ["--data", folder / "calibration.npz", "--validation", folder / "validation.npz"]
    what = ["quantize", paths[0], *data, "-o", paths[1], "--report", paths[2]]
    if entry.policy:
        policy = folder / "policy.yaml"
        policy.write_text("version: 1\n" + entry.policy)
        what += ["-c", policy]
    tare(*what, "-q")
    return *paths, validation


def check(case, entry):
    original, quantized, report, validation = quantize(case, entry)
    onnx.checker.check_model(str(quantized), full_check=True)
    case.expect(interface(original) == interface(quantized), "inputs or outputs changed their names, types or shapes")

    optimized = case.folder / "optimized.onnx"
    expected = run(original, validation)
    simulated = run(quantized, validation)
    # As users run it. Its numbers depend on the CPU; that it loads and runs, and what it runs, does not.
    run(quantized, validation, optimize=True, optimized_path=optimized)
    kernels = run(quantized, validation, optimize=True, precise=True) if entry.kernels else simulated
    stated = report_outputs(report)
    for name, reference in expected.items():
        measured = sqnr(reference, simulated[name])
        case.note(f"{name} {measured:.1f} dB")
        case.expect(measured >= entry.bound, f"{name}: SQNR {measured:.1f} dB, expected {entry.bound} or more")
        integer = sqnr(reference, kernels[name])
        good = integer >= min(entry.bound, measured) - KERNELS_DB
        case.expect(good, f"{name}: SQNR {integer:.1f} dB with ONNX Runtime's integer kernels")
        if case.expect(name in stated, f"{name}: the report does not list it"):
            compare(case, name, stated[name], measured)
    for node in float_compute(optimized) if entry.fused else []:
        case.expect(False, f"ONNX Runtime runs {node} in float")
    if entry.also:
        entry.also(case, onnx.load(original), onnx.load(quantized))


def compare(case, name, stated, measured):
    """The report's SQNR against that of ONNX Runtime."""
    if min(stated, measured) < CHANCE_DB:
        good = abs(stated - measured) <= AGREEMENT_DB
        case.expect(good, f"{name}: the report states {stated:.2f} dB, ONNX Runtime shows {measured:.2f}")


def main():
    suite = Suite()
    for entry in CATALOGUE:
        if suite.chosen(entry.name):
            with suite.case(entry.name) as case:
                check(case, entry)
    suite.finish()


main()
