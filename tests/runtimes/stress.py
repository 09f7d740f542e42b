"""`tare validate --stress`: what both models stand in the engine that is built in they stand in ONNX Runtime, and what falls over
in one falls over in the other."""

import json
import os

import models_blocks  # noqa: F401 (importing fills the catalogue)
import models_conv  # noqa: F401
import models_layers  # noqa: F401
import models_matmul  # noqa: F401
import models_text  # noqa: F401
import numpy as np
import onnx
import onnxruntime as ort
from catalogue import CATALOGUE
from common import Suite, tare
from onnx import TensorProto, helper

# The library of the package that runs this script.
LIBRARY = os.path.dirname(ort.__file__)
RUNTIME = ["--onnxruntime", LIBRARY]
# Every fourth model of the catalogue: each is run three times over, in each mode.
EVERY = 4
BAD = {"not_finite", "refused", "other_shape"}


def stress(case, flags, where, expect=0):
    """The cases by name; exit code 1 says that one failed."""
    path = case.folder / "stress.json"
    models = [case.folder / "float.onnx", case.folder / "quantized.onnx"]
    tare("validate", *models, *flags, "--stress", *where, "--report", path, "-q", expect=expect)
    return {one["name"]: one for one in json.loads(path.read_text())["stress"]["cases"]}


def is_failed(one):
    return one["counts"] and (one["verdict"] in BAD or "runtime" in one)


def stands_in_both(case, entry, mode):
    model, calibration, validation = entry.make()
    onnx.save(model, case.folder / "float.onnx")
    np.savez(case.folder / "calibration.npz", **calibration)
    np.savez(case.folder / "validation.npz", **validation)
    data = ["--data", case.folder / "calibration.npz"] if mode == "static" else []
    policy = case.folder / "policy.yaml"
    policy.write_text("version: 1\n" + (entry.policy if mode == "static" else ""))
    made = case.folder / "quantized.onnx"
    tare("quantize", case.folder / "float.onnx", "-c", policy, *data, "--mode", mode, "--no-validation", "-o", made, "-q")
    flags = ["--data", case.folder / "validation.npz"]
    own = stress(case, flags, [])
    other = stress(case, flags, ["--engine", "onnxruntime", *RUNTIME])
    beside = stress(case, flags, ["--reference", "onnxruntime", *RUNTIME])
    case.expect(own.keys() == other.keys() == beside.keys(), "the engines run other cases")
    for name, one in own.items():
        case.expect(not any(map(is_failed, [one, other[name], beside[name]])), f"{name}: {one} {other[name]} {beside[name]}")
        if not one["counts"] or not one["outputs"] or not other[name]["outputs"]:
            continue
        for here, there in zip(one["outputs"], other[name]["outputs"]):
            odd = [(output["not_finite_float"], output["not_finite"]) for output in (here, there)]
            case.expect(odd[0] == odd[1], f"{name}: NaN and infinities {odd}")
    case.note(f"{len(own)} cases")


def falls_over_in_both(case):
    """One model makes NaN of what lies below 0, another refuses all sizes but one."""

    def write(name, *nodes, constants=()):
        sides = [helper.make_tensor_value_info(side, TensorProto.FLOAT, [1, "n"]) for side in "xy"]
        graph = helper.make_graph(list(nodes), "net", sides[:1], sides[1:], list(constants))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, case.folder / f"{name}.onnx")

    def failed(where):
        return sorted(name for name, one in stress(case, [], where, expect=1).items() if is_failed(one))

    write("float", helper.make_node("Abs", ["x"], ["y"]))
    to = helper.make_tensor("to", TensorProto.INT64, [2], [1, 64])
    # Of another size, a sample is noise; 32 and 256 numbers of it have some below 0.
    lost = ["below", "checkers", "loud", "lowest", "n=256", "n=32", "noise"]
    kinds = {
        "nan": ([helper.make_node("Sqrt", ["x"], ["y"])], [], lost),
        "size": ([helper.make_node("Reshape", ["x", "to"], ["y"])], [to], ["n=0", "n=1", "n=256", "n=32"]),
    }
    for kind, (nodes, constants, wanted) in kinds.items():
        write("quantized", *nodes, constants=constants)
        ways = {"tract": [], "engine": ["--engine", "onnxruntime", *RUNTIME], "reference": ["--reference", "onnxruntime", *RUNTIME]}
        for way, where in ways.items():
            found = [name for name in failed(where) if kind == "size" or name != "n=1"]
            case.expect(found == wanted, f"{kind}, {way}: {found}, expected {wanted}")


def main():
    suite = Suite()
    if suite.chosen("falls-over"):
        with suite.case("falls-over") as case:
            falls_over_in_both(case)
    for entry in CATALOGUE[::EVERY]:
        for mode in ("static", "dynamic"):
            name = f"{entry.name}-{mode}"
            if suite.chosen(name):
                with suite.case(name) as case:
                    stands_in_both(case, entry, mode)
    suite.finish()


main()
