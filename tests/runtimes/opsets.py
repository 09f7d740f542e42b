"""Models of old operator sets: what the preparation makes of them computes the same in ONNX Runtime, while it is still
float, and can be quantized."""

import os
import subprocess
from pathlib import Path

import numpy as np
import later_models  # noqa: F401 (importing fills the list)
import old_bodies  # noqa: F401
import onnx
from common import ROOT, Problem, Suite, interface, run, sqnr, tare
from old_models import OLD_MODELS
from onnx.backend.test.loader import DATA_DIR

PREPARE = os.environ.get("PREPARE") or str(ROOT / "target/debug/examples/prepare")
# The version of the container format that came with each operator set.
CONTAINERS = {row[2]: row[1] for row in reversed(onnx.helper.VERSION_TABLE)}
# What sums in another order, or divides where it multiplied, differs by a few times the last bit.
TOLERANCE = 2e-5
BOUND_DB = 20.0
# Beside the one that a model gets if nothing else is asked for: what 4-bit output needs, and the newest.
FURTHER = (21, 25)
# What the package holds as files, of opsets 7 to 9: nets for ImageNet.
LEAST_LIGHT = 7


def prepare(case, model, opset=None):
    """The prepared form of a model, of operator set `opset`; a problem if it is refused."""
    out = case.folder / f"prepared{opset or ''}.onnx"
    listing = case.folder / "list"
    listing.write_text(f"{model}\t{out}\t{opset}\n" if opset else f"{model}\t{out}\n")
    done = subprocess.run([PREPARE, str(listing)], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Problem(done.stderr.strip() or f"exit code {done.returncode} without a message")
    return out


def check(case, old):
    model, calibration, validation = old.make()
    original = case.folder / "float.onnx"
    onnx.save(model, original)
    expected = run(original, validation)
    for wanted in (None, *FURTHER):
        what = f"prepared for opset {wanted}" if wanted else "prepared"
        prepared = prepare(case, original, wanted)
        raised = onnx.load(prepared)
        opset = next(o.version for o in raised.opset_import if o.domain in ("", "ai.onnx"))
        case.expect(opset == max(wanted or 13, old.opset), f"{what}: opset {old.opset} became {opset}")
        least = CONTAINERS[opset]
        case.expect(raised.ir_version >= least, f"{what}: version {raised.ir_version} of the format, not {least}")
        case.expect(interface(original) == interface(prepared), f"{what}: inputs or outputs changed names or types")
        found = operators(raised.graph)
        case.expect(old.holds is None or old.holds in found, f"{what}: has no {old.holds}: {sorted(found)}")
        case.expect(old.lacks not in found, f"{what}: still has a {old.lacks}")
        known = opset not in old.withdrawn
        if known:
            onnx.checker.check_model(raised)
        if opset <= old.newest:
            compare(case, what, expected, run(prepared, validation))
            if old.quantizable:
                quantize(case, prepared if wanted else original, calibration, validation, expected, known)


def operators(graph):
    """The operators of a graph and of its bodies."""
    found = set()
    for node in graph.node:
        found.add(node.op_type)
        for attribute in node.attribute:
            for body in [attribute.g, *attribute.graphs]:
                found |= operators(body)
    return found


def compare(case, what, expected, found):
    for name, reference in expected.items():
        other = found[name]
        kinds = [f"{array.dtype}{array.shape}" for array in (reference, other)]
        if case.expect(kinds[0] == kinds[1], f"{what}: {name} became {kinds[1]}, expected {kinds[0]}"):
            largest = np.max(np.abs(reference), initial=0)
            worst = np.max(np.abs(np.subtract(reference, other, dtype=np.float64)), initial=0)
            good = worst <= TOLERANCE * max(largest, 1e-3)
            case.expect(good, f"{what}: {name} differs by {worst}, its largest is {largest}")


def quantize(case, original, calibration, validation, expected, known):
    np.savez(case.folder / "calibration.npz", **calibration)
    np.savez(case.folder / "validation.npz", **validation)
    out = case.folder / "int8.onnx"
    data = ["--data", case.folder / "calibration.npz", "--validation", case.folder / "validation.npz"]
    tare("quantize", original, *data, "-o", out, "-q")
    if known:
        onnx.checker.check_model(str(out))
    case.expect(interface(original) == interface(out), "inputs or outputs changed their names or types")
    quantized = operators(onnx.load(out).graph)
    case.expect("QuantizeLinear" in quantized, "nothing was quantized")
    found = run(out, validation)
    for name, reference in expected.items():
        case.expect(reference.shape == found[name].shape, f"{name} became {found[name].shape}, not {reference.shape}")
        measured = sqnr(reference, found[name])
        case.note(f"{name} {measured:.1f} dB")
        case.expect(measured >= BOUND_DB, f"{name}: SQNR {measured:.1f} dB, expected {BOUND_DB} or more")


def light(case, path):
    """A whole net, with weights made by nodes: its plan has integer nodes."""
    said = tare("plan", path).stdout
    case.expect("Conv" in said, "the plan names no Conv")


def refused(case, opset, word):
    """An operator set that is not understood: an error that says which are, and what to do."""
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    path = case.folder / "float.onnx"
    onnx.save(model, path)
    said = tare("plan", path, expect=2).stderr
    for part in (f"opset {opset}", "7 to 25", word):
        case.expect(part in said, f"the message does not say {part!r}: {said.strip()}")


def main():
    suite = Suite()
    for old in OLD_MODELS:
        if suite.chosen(old.name):
            with suite.case(old.name) as case:
                check(case, old)
    paths = sorted((Path(DATA_DIR) / "light").glob("*.onnx"))
    if suite.chosen("light_models_are_there"):
        with suite.case("light_models_are_there") as case:
            case.expect(len(paths) >= LEAST_LIGHT, f"only {len(paths)} light models were found")
    for path in paths:
        if suite.chosen(path.stem):
            with suite.case(path.stem) as case:
                light(case, path)
    for opset, word in [(6, "later opset"), (26, "Export it again")]:
        if suite.chosen(f"refused_{opset}"):
            with suite.case(f"refused_{opset}") as case:
                refused(case, opset, word)
    suite.finish()


main()
