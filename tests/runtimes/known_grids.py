"""Ranges that ONNX Runtime's calibrators found, in every form that they are kept in, and AIMET's encodings.

AIMET itself is asked where its package is installed; AIMET=path/to/python names one that has it.
"""

import json
import logging
import os
import subprocess

import models_conv  # noqa: F401 (importing fills the catalogue)
import models_layers  # noqa: F401
import models_matmul  # noqa: F401
import numpy as np
import onnx
from catalogue import CATALOGUE
from common import Suite, run, sqnr, tare
from onnx import numpy_helper
from onnxruntime.quantization import calibrate
from onnxruntime.quantization.quant_utils import compute_scale_zp, write_calibration_table
from peer import Samples

METHODS = ("MinMax", "Entropy", "Percentile")
# Of these a table for TensorRT keeps one number for each value, the range on both sides of zero.
ONE_NUMBER = ("calibration.flatbuffers", "calibration.cache")
WHOLE = ("saved.json", "calibration.json", "plain.json")
CASES = (
    "residual",
    "depthwise",
    "silu",
    "squeeze_and_excitation",
    "conv_transpose_bias",
    "gemm_transposed",
    "matmul_add_bias",
    "attention",
)
VERSIONS = ("0.6.1", "1.0.0", "2.0.0")
# What the same ranges give where one number stands for both ends: half of the steps lie where nothing is.
LEAST_DB = 14.0

# What AIMET reads of a file of encodings: for each tensor its scales and its offsets.
AIMET = """
import json, logging, sys, onnx
logging.disable(logging.CRITICAL)
from aimet_onnx.quantsim import QuantizationSimModel, load_encodings_to_sim
sim = QuantizationSimModel(onnx.load(sys.argv[1]), config_file="htp_v73")
told, known = json.load(open(sys.argv[2])), sim.qc_quantize_op_dict
# It refuses encodings of values that it has no quantizer for: what a MatMul makes for an Add, to it both one layer.
for key in [key for key in told if key.endswith("encodings")]:
    if isinstance(told[key], dict):
        told[key] = {name: entry for name, entry in told[key].items() if name in known}
    else:
        told[key] = [entry for entry in told[key] if entry["name"] in known]
load_encodings_to_sim(sim, told, strict=False)
found = {}
for name, one in sim.qc_quantize_op_dict.items():
    grids = one.get_encodings() if one.enabled else None
    if grids is not None:
        found[name] = [[grid.delta for grid in grids], [grid.offset for grid in grids]]
json.dump(found, open(sys.argv[3], "w"))
"""


def constants(path):
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}


def caches(case, model, calibration, method):
    """The ranges that ONNX Runtime finds, and the files that they are kept in."""
    augmented = str(case.folder / "augmented.onnx")
    method = calibrate.CalibrationMethod[method]
    finder = calibrate.create_calibrator(str(model), None, augmented_model_path=augmented, calibrate_method=method)
    finder.collect_data(Samples(calibration))
    data = finder.compute_data()
    calibrate.save_tensors_data(data, case.folder / "saved.json")
    write_calibration_table(data.data, str(case.folder))
    ends = {name: one.range_value for name, one in data.items()}
    ranges = {name: [float(np.min(low)), float(np.max(high))] for name, (low, high) in ends.items()}
    (case.folder / "plain.json").write_text(json.dumps(ranges))
    return ranges


def check_caches(case, entry, method):
    model, calibration, validation = entry.make()
    original, made = case.folder / "float.onnx", case.folder / "out.onnx"
    onnx.save(model, original)
    ranges = caches(case, original, calibration, method)
    before, (reference, *_) = None, run(original, validation).values()
    for name in (*WHOLE, *ONE_NUMBER):
        report = case.folder / "report.json"
        flags = ["--no-validation", "-o", made, "--report", report, "-q"]
        tare("quantize", original, "--encodings", case.folder / name, *flags)
        report = json.loads(report.read_text())
        case.expect(report["calibration"]["samples"] == 0, f"{name}: something was calibrated")
        found = constants(made)
        compared = 0
        for value, (low, high) in ranges.items():
            scale, zero = found.get(f"{value}_scale"), found.get(f"{value}_zero_point")
            unused = any(one["name"] == value for one in report.get("known_not_used", []))
            if scale is None or unused:
                continue
            if name in ONE_NUMBER:
                low, high = -max(low, high), max(low, high)
            ends = np.array(low, np.float32), np.array(high, np.float32)
            expected_zero, expected = compute_scale_zp(*ends, np.array(0), np.array(255), symmetric=False)
            same = np.isclose(scale, expected, rtol=1e-6) and zero == expected_zero
            case.expect(same, f"{name}: {value} has {scale}, {zero}; ONNX Runtime {expected}, {expected_zero}")
            compared += 1
        case.expect(compared > 1, f"{name}: {compared} grids compared")
        if name in WHOLE:
            model = onnx.load(made)
            model.ClearField("metadata_props")
            content = model.SerializeToString(deterministic=True)
            case.expect(before in (None, content), f"{name}: another model than from the other files")
            before = content
        quality = sqnr(reference, next(iter(run(made, validation).values())))
        case.note(f"{name} {quality:.1f} dB")
        case.expect(quality >= min(entry.bound, LEAST_DB), f"{name}: {quality:.1f} dB")


def check_round_trip(case, entry, version):
    """What is written is what the model has, AIMET reads the same, and it makes the same model again."""
    model, calibration, _ = entry.make()
    original, made, again = (case.folder / name for name in ("float.onnx", "out.onnx", "again.onnx"))
    encodings, back = case.folder / "e.encodings", case.folder / "back.onnx"
    onnx.save(model, original)
    np.savez(case.folder / "calibration.npz", **calibration)
    flags = ["--write-encodings", encodings, "--encodings-version", version]
    tare("quantize", original, "--data", case.folder / "calibration.npz", *flags, "--no-validation", "-o", made, "-q")
    tare("dequantize", made, "-o", back, "-q")
    report = case.folder / "report.json"
    tare("quantize", back, "--encodings", encodings, "--no-validation", "-o", again, "--report", report, "-q")
    report = json.loads(report.read_text())
    case.expect(not report.get("known_not_used"), f"not used: {report.get('known_not_used')}")
    case.expect(report["calibration"]["samples"] == 0, "something was calibrated")
    before, after = constants(made), constants(again)
    case.expect(before.keys() == after.keys(), f"other constants: {sorted(before.keys() ^ after.keys())}")
    for name, numbers in before.items():
        other = after.get(name)
        same = other is not None and numbers.dtype == other.dtype and numbers.tobytes() == other.tobytes()
        case.expect(same or numbers.dtype == np.int32, f"{name} is another")
    python = os.environ.get("AIMET")
    if not python:
        return
    grids = case.folder / "aimet.json"
    subprocess.run([python, "-c", AIMET, back, encodings, grids], check=True, capture_output=True, timeout=300)
    compared = 0
    for name, (scales, offsets) in json.loads(grids.read_text()).items():
        scale, zero = before.get(f"{name}_scale"), before.get(f"{name}_zero_point")
        if scale is None:
            continue
        expected = np.iinfo(zero.dtype).min - zero.astype(np.int64).ravel()
        same = np.array_equal(np.array(scales, np.float32), scale.ravel()) and np.array_equal(offsets, expected)
        case.expect(same, f"AIMET reads another grid of {name}")
        compared += 1
    case.expect(compared > 1, f"AIMET: {compared} grids compared")
    case.note(f"{compared} grids by AIMET")


def main():
    logging.disable(logging.WARNING)
    suite = Suite()
    for entry in CATALOGUE:
        if entry.policy or entry.name not in CASES:
            continue
        for way in METHODS + VERSIONS:
            name = f"{entry.name}-{way}"
            if suite.chosen(name):
                with suite.case(name) as case:
                    (check_caches if way in METHODS else check_round_trip)(case, entry, way)
    suite.finish()


main()
