"""The example that comes with the converter: converted by its policy, judged by ONNX Runtime on labelled pictures."""

import csv
import json

import numpy as np
import onnx
from common import ROOT, Suite, float_compute, interface, session, tare
from PIL import Image

FOLDER = ROOT / "calibration" / "fashion"
MODEL = FOLDER / "model.onnx"
POLICY = ROOT / "configs" / "example.yaml"
OUT = ROOT / "target" / "example" / "example.onnx"
REPORT = OUT.with_suffix(".json")
MEAN, STD = np.float32(0.286), np.float32(0.353)
MOST_LOST = 0.007
MOST_OF_THE_SIZE = 0.4
# One picture of a thousand, and the rounding of a printed number.
ONE_PICTURE = 0.0011


def pictures():
    """All test pictures as the model takes them, and their classes."""
    with open(FOLDER / "test_labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    grey = [np.asarray(Image.open(FOLDER / "test" / row["file"]).convert("L"), np.float32) for row in rows]
    return (np.stack(grey)[:, None] / 255 - MEAN) / STD, np.array([int(row["label"]) for row in rows])


def convert(case):
    tare("quantize", "-c", POLICY)
    onnx.checker.check_model(str(OUT), full_check=True)
    case.expect(interface(MODEL) == interface(OUT), "inputs or outputs changed their names, types or shapes")
    share = OUT.stat().st_size / MODEL.stat().st_size
    case.note(f"size {share:.3f} of the float model's")
    case.expect(share < MOST_OF_THE_SIZE, f"size {share:.3f} of the float model's, expected < {MOST_OF_THE_SIZE}")


def accuracy(case):
    samples, labels = pictures()
    case.expect(len(labels) == 1000, f"{len(labels)} labelled pictures instead of 1000")

    def right(path, **how):
        logits = session(path, **how).run(["logits"], {"image": samples})[0]
        return float(np.mean(logits.argmax(1) == labels))

    original = right(MODEL)
    simulated = right(OUT)
    fused = right(OUT, optimize=True, precise=True)
    optimized = case.folder / "optimized.onnx"
    session(OUT, optimize=True, optimized_path=optimized)
    case.note(f"top-1 {original:.3f} in float, {simulated:.3f} simulated, {fused:.3f} with integer kernels")
    for found, how in ((simulated, "simulated"), (fused, "with integer kernels")):
        case.expect(original - found <= MOST_LOST, f"top-1 {found:.3f} {how}, {original:.3f} in float")
    for node in float_compute(optimized):
        case.expect(False, f"ONNX Runtime runs {node} in float")
    stated = json.loads(REPORT.read_text())
    compare(case, stated, original, simulated)


def compare(case, report, original, simulated):
    """What the report says of the accuracy is what ONNX Runtime shows."""
    classes = report["validation"]["classification"]
    for key, measured in (("top1_float", original), ("top1_quantized", simulated)):
        stated = classes[key]
        case.expect(abs(stated - measured) <= ONE_PICTURE, f"{key}: the report states {stated}, it is {measured}")


def same_bytes(case):
    """Neither another run nor another number of threads changes a byte."""
    made = {}
    for threads in (1, 2):
        out = case.folder / f"{threads}.onnx"
        tare("quantize", "-c", POLICY, "-o", out, "--threads", threads, "-q")
        made[threads] = out.read_bytes()
    case.expect(made[1] == made[2], "one thread and two threads made different files")
    case.expect(made[1] == OUT.read_bytes(), "the first run made another file")


def ranges_kept_in_a_file(case):
    """Statistics saved by one command and used by another make the same graph as both at once."""
    ranges, out = case.folder / "ranges.json", case.folder / "int8.onnx"
    tare("calibrate", "-c", POLICY, "-o", ranges, "-q")
    tare("quantize", "-c", POLICY, "--ranges", ranges, "-o", out, "-q")
    case.expect(onnx.load(out).graph == onnx.load(OUT).graph, "another graph than without the file")


def comparing_two_files(case):
    """`tare validate` on the finished files finds what `tare quantize` reported."""
    found = case.folder / "comparison.json"
    tare("validate", MODEL, OUT, "-c", POLICY, "--report", found, "-q")
    stated, again = (json.loads(path.read_text()) for path in (REPORT, found))
    case.expect(again["outputs"] == stated["validation"]["outputs"], f"{again['outputs']}")


def other_commands(case):
    case.expect(tare("inspect", MODEL).stdout, "inspect says nothing")
    case.expect(tare("plan", "-c", POLICY).stdout, "plan says nothing")
    schema = json.loads(tare("schema").stdout)
    case.expect("activations" in schema["properties"], "the schema does not know activations")


def every_policy(case):
    """The policies that come with the converter meet their own thresholds."""
    for policy in sorted((ROOT / "configs").glob("*.yaml")):
        tare("quantize", "-c", policy, "-o", case.folder / f"{policy.stem}.onnx", "-q")


def main():
    suite = Suite()
    tests = convert, accuracy, same_bytes, ranges_kept_in_a_file, comparing_two_files, other_commands, every_policy
    for test in tests:
        with suite.case(test.__name__) as case:
            test(case)
    suite.finish()


main()
