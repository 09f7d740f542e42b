"""The example that comes with the converter: converted by its policy, judged by ONNX Runtime on the labelled pictures."""

import csv
import json

import numpy as np
import onnx
from common import FLOAT_COMPUTE, ROOT, Suite, float_compute, interface, session, tare
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


def logits(path, samples, optimize, optimized_path=None):
    running = session(path, optimize, optimized_path)
    return running.run(["logits"], {"image": samples})[0]


def convert(case):
    tare("quantize", "-c", POLICY)
    onnx.checker.check_model(str(OUT), full_check=True)
    case.expect(interface(MODEL) == interface(OUT), "inputs or outputs changed their names, types or shapes")
    share = OUT.stat().st_size / MODEL.stat().st_size
    case.note(f"size {share:.3f} of the float model's")
    case.expect(share < MOST_OF_THE_SIZE, f"the size is {share:.3f} of the float model's, expected < {MOST_OF_THE_SIZE}")


def accuracy(case):
    samples, labels = pictures()
    case.expect(len(labels) == 1000, f"{len(labels)} labelled pictures instead of 1000")

    def right(path, optimize, optimized_path=None):
        return float(np.mean(logits(path, samples, optimize, optimized_path).argmax(1) == labels))

    original = right(MODEL, True)
    simulated = right(OUT, False)
    optimized = case.folder / "optimized.onnx"
    fused = right(OUT, True, optimized)
    case.note(f"top-1 {original:.3f} in float, {simulated:.3f} simulated, {fused:.3f} with integer kernels")
    for found, how in ((simulated, "simulated"), (fused, "with integer kernels")):
        case.expect(original - found <= MOST_LOST, f"{how} {found:.3f} of the pictures are right, {original:.3f} in float")
    for node in float_compute(optimized, FLOAT_COMPUTE):
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


def main():
    suite = Suite()
    for test in (convert, accuracy, same_bytes):
        with suite.case(test.__name__) as case:
            test(case)
    suite.finish()


main()
