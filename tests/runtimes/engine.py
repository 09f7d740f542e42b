"""ONNX Runtime inside the converter: calibration by it, and what `--reference onnxruntime` says of models, held against what
its own Python binding shows."""

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
from common import Suite, run, sqnr, tare
from net import Net
from onnx import TensorProto, helper, numpy_helper

# The library of the package that runs this script.
LIBRARY = os.path.dirname(ort.__file__)
# So much of a value's range may its ends differ between the engines: float32 sums in another order, layer after layer.
RANGE = 1e-4
# Two roads to the same numbers.
AGREEMENT_DB = 0.05
# Above it, a few numbers between two steps are all the noise there is.
CHANCE_DB = 60.0
# Every second model of the catalogue: each is run four times over.
EVERY = 2
# And of these some layer by layer, in both forms.
LAYERS_EVERY = 6


def write(case, entry):
    model, calibration, validation = entry.make()
    onnx.save(model, case.folder / "float.onnx")
    np.savez(case.folder / "calibration.npz", **calibration)
    np.savez(case.folder / "validation.npz", **validation)
    policy = case.folder / "policy.yaml"
    policy.write_text("version: 1\n" + entry.policy)
    return ["-c", policy, "--data", case.folder / "calibration.npz"], validation


def statistics(case, flags, engine):
    path = case.folder / f"{engine}.json"
    where = ["--engine", engine, "--onnxruntime", LIBRARY]
    tare("calibrate", case.folder / "float.onnx", *flags, "-o", path, *where, "-q")
    return json.loads(path.read_text())


def calibrate_with_both(case, flags):
    """The ranges that both engines see are the same, but for float32 sums in another order."""
    own, other = (statistics(case, flags, engine) for engine in ["tract", "onnxruntime"])
    case.expect("engine" not in own, "statistics of the engine that is built in name it")
    case.expect(other.get("engine") == f"ONNX Runtime {ort.__version__}", f"engine: {other.get('engine')}")
    case.expect(own["values"].keys() == other["values"].keys(), "the engines observed different values")
    for name, seen in own["values"].items():
        shown = other["values"][name]
        apart = max(abs(seen[end] - shown[end]) for end in ["min", "max"])
        case.expect(apart <= RANGE * (seen["max"] - seen["min"]), f"{name}: the ends of the range differ by {apart}")


def compare_three_ways(case, flags, validation):
    """The distances that the report states are those of the Python binding."""
    original, quantized, report = (case.folder / name for name in ["float.onnx", "int8.onnx", "report.json"])
    what = ["quantize", original, *flags, "--validation", case.folder / "validation.npz", "-o", quantized, "--report", report]
    tare(*what, "--reference", "onnxruntime", "--onnxruntime", LIBRARY, "-q")
    told = json.loads(report.read_text())["validation"]["reference"]
    expected = run(original, validation)
    for level, optimize in [("disable_all", False), ("default", True)]:
        case.expect(told[level]["refused"] is None, f"{level}: {told[level]['refused']}")
        shown = run(quantized, validation, optimize=optimize)
        for output in told["outputs"]:
            name, distance = output["name"], output[f"float_to_{level}"]
            measured = sqnr(expected[name], shown[name])
            stated = float("inf") if distance["identical"] else distance["sqnr_db"]
            good = abs(stated - measured) <= AGREEMENT_DB or min(stated, measured) > CHANCE_DB
            case.expect(good, f"{name} at {level}: the report states {stated:.2f} dB, the binding shows {measured:.2f}")
    for output in told["outputs"]:
        case.note(f"{output['name']}: {output['verdict']}")
        good = output["verdict"] in ["quantization", "rounding", "fusion"]
        case.expect(good, f"{output['name']}: {output['verdict']}, {output['own_to_disable_all']}")


def one_layer():
    net = Net("layer", 17)
    x = net.input([8, 6, 6])
    net.output(net.node("Relu", net.conv(x, 8, 8, pads=[1, 1, 1, 1])), [8, 6, 6])
    return net


def refused(suite):
    """What ONNX Runtime does not load as it would run it is a failed validation, in its own words."""
    with suite.case("refused") as case:
        net = one_layer()
        onnx.save(net.model(), case.folder / "float.onnx")
        np.savez(case.folder / "samples.npz", **net.samples(20, 1.0))
        flags = ["--data", case.folder / "samples.npz", "--mode", "bfloat16", "-o", case.folder / "out.onnx"]
        where = ["--reference", "onnxruntime", "--onnxruntime", LIBRARY]
        said = tare("quantize", case.folder / "float.onnx", *flags, *where, expect=1).stdout
        for word in ["at level disable all", "at level default", "refused by the runtime", "Conv"]:
            case.expect(word in said, f"{word!r} is not in {said}")


def another(suite):
    """Two models that compute different things: the runtime agrees with the re-execution all the same."""
    with suite.case("another") as case:
        net = one_layer()
        model = net.model()
        onnx.save(model, case.folder / "float.onnx")
        np.savez(case.folder / "samples.npz", **net.samples(20, 1.0))
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array((array * 2).astype(array.dtype), tensor.name))
        onnx.save(model, case.folder / "other.onnx")
        report = case.folder / "report.json"
        flags = ["--data", case.folder / "samples.npz", "--report", report, "--reference", "onnxruntime"]
        where = ["--onnxruntime", LIBRARY, "-q"]
        tare("validate", case.folder / "float.onnx", case.folder / "other.onnx", *flags, *where)
        told = json.loads(report.read_text())
        case.expect(told["outputs"][0]["sqnr_db"] < 3, f"{told['outputs']}")
        case.expect(told["reference"]["outputs"][0]["verdict"] == "quantization", f"{told['reference']}")


def pairs(middle, dtype, opset, **attributes):
    """A float model of one node, and the same between two Q/DQ pairs or behind one, of the type `dtype`."""
    value = helper.make_tensor_value_info
    interface = [value("x", TensorProto.FLOAT, [1, 4, 8, 8])], [value("y", TensorProto.FLOAT, None)]
    scale = numpy_helper.from_array(np.float32(0.02), "s")
    zero = helper.make_tensor("z", dtype, [], [0])
    node = helper.make_node
    plain = [node(middle, ["x"], ["y"], **attributes)]
    both = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["d"])]
    both += [node(middle, ["d"], ["m"], **attributes)]
    if dtype == TensorProto.INT8:
        both += [node("Neg", ["m"], ["y"])]
        plain = [node(middle, ["x"], ["m"], **attributes), node("Neg", ["m"], ["y"])]
    else:
        both += [node("QuantizeLinear", ["m", "s", "z"], ["r"]), node("DequantizeLinear", ["r", "s", "z"], ["y"])]
    made = []
    for nodes, constants in [(plain, []), (both, [scale, zero])]:
        graph = helper.make_graph(nodes, "pairs", *interface, constants)
        made.append(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10))
    return made


def validate(case, models, expect=0):
    """What `validate` says of a float and a quantized model beside ONNX Runtime."""
    paths = case.folder / "float.onnx", case.folder / "quantized.onnx"
    for model, path in zip(models, paths):
        onnx.save(model, path)
    samples = np.random.default_rng(5).normal(size=(8, 4, 8, 8)).astype(np.float32)
    np.savez(case.folder / "samples.npz", x=samples)
    report = case.folder / "report.json"
    flags = ["--data", case.folder / "samples.npz", "--report", report, "--reference", "onnxruntime", "--layers"]
    tare("validate", *paths, *flags, "--onnxruntime", LIBRARY, "-q", expect=expect)
    return json.loads(report.read_text())["reference"]


def fusion(suite):
    """ONNX Runtime 1.31.1 takes a Relu between float8 for one between integers, whose grid does its work, and leaves it out."""
    with suite.case("fusion") as case:
        told = validate(case, pairs("Relu", TensorProto.FLOAT8E4M3FN, 19))
        output = told["outputs"][0]
        case.expect(output["verdict"] == "fusion", f"{told}")
        case.expect(output["own_to_disable_all"]["identical"], f"{output}")
        first, second = told["layers"]["layers"]
        case.expect(first["verdict"] == "same" and first["accumulated"]["default"]["steps"] == 0, f"{first}")
        case.expect(second["verdict"] == "fusion" and second["operators"] == ["Relu"], f"{second}")
        case.expect(second["alone"]["default"]["steps"] > 1 and second["alone"]["disable_all"]["steps"] == 0, f"{second}")


def refused_by_default(suite):
    """A pair that ONNX Runtime 1.31.1 writes behind what moves int8 makes it refuse the model, from opset 21 on."""
    with suite.case("refused_by_default") as case:
        told = validate(case, pairs("MaxPool", TensorProto.INT8, 21, kernel_shape=[2, 2]), expect=1)
        case.expect(told["disable_all"]["refused"] is None and told["default"]["refused"], f"{told}")
        case.expect(told["outputs"][0]["verdict"] == "refused", f"{told}")
        case.expect(told["outputs"][0]["own_to_disable_all"]["identical"], f"{told}")
        runs = {(one["run"], one["level"]) for one in told["layers"]["refused"]}
        # What is refused stands behind the last integers.
        case.expect(runs == {("whole", "default")}, f"{runs}")
        case.expect([layer["verdict"] for layer in told["layers"]["layers"]] == ["same"], f"{told['layers']}")


def showing_integers(model):
    """A model that shows the integers that its quantizers make, and their names."""
    model = onnx.load(model)
    fixed = {tensor.name for tensor in model.graph.initializer}
    made = [n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] not in fixed]
    have = {output.name for output in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in made if name not in have)
    return model, made


def check_layers(case, entry, form):
    """Each layer alone is within a step of the re-execution without optimizations, and what ONNX Runtime makes of layers by
    default is what its own binding shows."""
    flags, validation = write(case, entry)
    original, quantized, report = (case.folder / name for name in ["float.onnx", "int8.onnx", "report.json"])
    tare("quantize", original, *flags, "--format", form, "--no-validation", "-o", quantized, "-q")
    few = {name: array[:4] for name, array in validation.items()}
    np.savez(case.folder / "few.npz", **few)
    what = ["validate", original, quantized, "--data", case.folder / "few.npz", "--layers", "--report", report]
    tare(*what, "--reference", "onnxruntime", "--onnxruntime", LIBRARY, "-q", "--no-default-limits")
    told = json.loads(report.read_text())["reference"]["layers"]
    case.expect("why_not" not in told and not told["refused"], f"{told}")
    layers = {layer["integers"]: layer for layer in told["layers"]}
    case.note(f"{len(layers)} values of integers")
    for name, layer in layers.items():
        apart = layer["alone"]
        case.expect(apart["disable_all"]["steps"] <= 1, f"{name}, {layer['operators']}, is a fault: {apart}")
        good = layer["verdict"] in ["same", "rounding"]
        case.expect(good, f"{name}, {layer['operators']}: {layer['verdict']}, {apart}, {layer['accumulated']}")
    model, made = showing_integers(quantized)
    case.expect(set(made) <= set(layers), f"not looked at: {set(made) - set(layers)}")
    # As far as the two levels are apart, one of them is from the re-execution, and no further than both together.
    shown = case.folder / "shown.onnx"
    onnx.save(model, shown)
    plain, default = (run(shown, few, optimize=optimize) for optimize in [False, True])
    for name in made:
        apart = int(np.abs(plain[name].astype(np.int64) - default[name].astype(np.int64)).max())
        one, two = (layers[name]["accumulated"][level]["steps"] for level in ["disable_all", "default"])
        case.expect(abs(one - two) <= apart <= one + two, f"{name}: {apart} steps between the levels, {one} and {two} told")


def layers_of_models(suite):
    for entry in CATALOGUE[1::LAYERS_EVERY]:
        for form in ["qdq", "qoperator"]:
            name = f"layers {entry.name} {form}"
            if suite.chosen(name):
                with suite.case(name) as case:
                    check_layers(case, entry, form)


def found(suite):
    """The library is found by the variable and in the active environment, and its absence is explained."""
    with suite.case("found") as case:
        net = one_layer()
        onnx.save(net.model(), case.folder / "float.onnx")
        np.savez(case.folder / "samples.npz", **net.samples(8, 1.0))
        what = ["calibrate", case.folder / "float.onnx", "--data", case.folder / "samples.npz", "-o", case.folder / "s.json"]
        what += ["--engine", "onnxruntime", "-q"]
        kept = dict(os.environ)
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(LIBRARY))))
        try:
            os.environ.pop("ORT_DYLIB_PATH", None)
            os.environ["VIRTUAL_ENV"] = root
            tare(*what)
            os.environ.pop("VIRTUAL_ENV")
            os.environ["ORT_DYLIB_PATH"] = LIBRARY
            tare(*what)
            os.environ["ORT_DYLIB_PATH"] = str(case.folder)
            said = tare(*what, expect=2).stderr
            case.expect("ORT_DYLIB_PATH" in said and "pip install onnxruntime" in said, said)
            for name in ["ORT_DYLIB_PATH", "CONDA_PREFIX", "LD_LIBRARY_PATH"]:
                os.environ.pop(name, None)
            os.environ.update(PATH=str(case.folder), HOME=str(case.folder))
            said = tare(*what, expect=2).stderr
            case.expect("no ONNX Runtime" in said and "pip install onnxruntime" in said, said)
        finally:
            os.environ.clear()
            os.environ.update(kept)


def main():
    suite = Suite()
    for entry in CATALOGUE[::EVERY]:
        if suite.chosen(entry.name):
            with suite.case(entry.name) as case:
                flags, validation = write(case, entry)
                calibrate_with_both(case, flags)
                compare_three_ways(case, flags, validation)
    layers_of_models(suite)
    for check in [refused, another, fusion, refused_by_default, found]:
        if suite.chosen(check.__name__):
            check(suite)
    suite.finish()


main()
