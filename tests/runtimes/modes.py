"""Modes other than static, over every type and granularity that the policy admits: what is written loads in ONNX Runtime, is
what our own re-execution says, and is as near to the float model as the steps of its weights."""

import itertools
import json

import numpy as np
import onnx
from common import Suite, expect_sqnr, graphs, report_outputs, run, sqnr, tare
from net import Net
from onnx import helper, numpy_helper

# What the rounding of a few layers leaves, by the type of the weights, in dB: the worst is one scale for a whole tensor.
BOUNDS_DB = {"int8": 28.0, "uint8": 28.0, "int4": 6.0, "uint4": 6.0, "int2": -12.0, "uint2": -12.0, "nf4": 6.0, "fp4": 6.0}
BOUNDS_DB |= {"float8e4m3fn": 22.0, "float8e5m2": 17.0}
SAMPLES = 4


def convolutions(net):
    x = net.input([5, 9, 9])
    y = net.node("Relu", net.conv(x, 5, 12))
    y = net.node("ConvTranspose", y, net.constant(net.weights(12, 7, 2, 2, fan_in=12)), strides=[2, 2])
    net.output(y, [7, 18, 18])


def matrices(net):
    x = net.input([6, 40])
    y = net.node("MatMul", x, net.constant(net.weights(40, 33, fan_in=40)))
    y = net.node("MatMul", net.node("Tanh", y), net.constant(net.weights(1, 33, 20, fan_in=33)))
    net.output(y, [6, 20])


def gemm(net):
    x = net.input([40])
    y = net.node("Gemm", x, net.constant(net.weights(24, 40)), net.constant(net.bias(24)), transB=1)
    y = net.node("Gemm", net.node("Relu", y), net.constant(net.weights(24, 10, fan_in=24)), alpha=0.5)
    net.output(y, [10])


def lookup(net):
    x = net.input_indices([6], "ids", below=50)
    y = net.node("Gather", net.constant(net.weights(50, 36)), x)
    y = net.node("MatMul", y, net.constant(net.weights(36, 8, fan_in=36)))
    net.output(y, [6, 8])


def residual(net):
    x = net.input([8, 6, 6])
    y = net.node("Relu", net.conv(x, 8, 8, pads=[1, 1, 1, 1]))
    y = net.node("Add", x, net.conv(y, 8, 8, pads=[1, 1, 1, 1]))
    y = net.node("Flatten", net.node("GlobalAveragePool", net.node("Relu", y)))
    net.output(net.node("Gemm", y, net.constant(net.weights(4, 8)), transB=1), [4])


def recurrent(net):
    x = net.input([6, 9])
    x = net.node("Transpose", x, perm=[1, 0, 2])
    weights = [net.constant(net.weights(2, 4 * 7, k, fan_in=k)) for k in (9, 7)]
    y = net.node("LSTM", x, *weights, net.constant(net.bias(2, 8 * 7)), hidden_size=7, direction="bidirectional", outputs=2)[0]
    y = net.node("Reshape", y, net.ints(6, -1, 14))
    weights = [net.constant(net.weights(1, 3 * 8, k, fan_in=k)) for k in (14, 8)]
    y = net.node("GRU", y, *weights, hidden_size=8, linear_before_reset=1, outputs=2)[1]
    net.output(net.node("Squeeze", y, net.ints(0)), [8])


def speech(net):
    """A recurrent layer, which static integers pass by, between layers that they do not."""
    x = net.node("Transpose", net.input([6, 9]), perm=[1, 0, 2])
    x = net.node("Relu", net.node("MatMul", x, net.constant(net.weights(9, 16, fan_in=9))))
    weights = [net.constant(net.weights(1, 4 * 8, k, fan_in=k)) for k in (16, 8)]
    y = net.node("LSTM", x, *weights, net.constant(net.bias(1, 8 * 8)), hidden_size=8, outputs=2)[1]
    y = net.node("Gemm", net.node("Squeeze", y, net.ints(0)), net.constant(net.weights(5, 8, fan_in=8)), transB=1)
    net.output(y, [5])


def branches(net):
    """Layers in the bodies of an If, one weight of which lies outside."""
    x = net.input([12])
    outside = net.constant(net.weights(12, 12, fan_in=12))

    def body(name, nodes, inits):
        made = [helper.make_tensor_value_info(f"{name}_out", onnx.TensorProto.FLOAT, None)]
        return helper.make_graph(nodes, name, [], made, inits)

    inside = numpy_helper.from_array(net.weights(12, 12, fan_in=12), "inside")
    matmul = helper.make_node("MatMul", [x, outside], ["shared"])
    then = body("then", [matmul, helper.make_node("MatMul", ["shared", "inside"], ["then_out"])], [inside])
    gemm = helper.make_node("Gemm", [x, outside], ["else_out"], transB=1)
    total = net.node("ReduceSum", x, keepdims=0)
    choice = net.node("Greater", total, net.constant(0.0))
    y = net.node("If", choice, then_branch=then, else_branch=body("else", [gemm], []))
    net.output(y, [12])


NETS = [convolutions, matrices, gemm, lookup, residual, recurrent, branches]
TYPES = [("int8", True), ("int8", False), ("uint8", True), ("uint8", False)]
TYPES += [("int4", True), ("int4", False), ("uint4", True), ("uint4", False)]
TYPES += [("int2", True), ("int2", False), ("uint2", True), ("uint2", False)]
FLOATS = [("float8e4m3fn", True), ("float8e5m2", True)]
GRANULARITIES = ["per_tensor", "per_channel", "per_block, block_size: 16", "per_block, block_size: 32"]


# For each mode what it takes, and the most that rounding in another order changes, in dB.
MODES = [("weight-only", GRANULARITIES, TYPES + FLOATS, 0.1), ("dynamic", GRANULARITIES[:2], TYPES[:4], 0.5)]


# Weights as operands of ONNX Runtime's own operators. Without `accuracy_level` these compute in float32, as we do.
OPERANDS = ["int8", "uint8", "int4", "uint4", "int2", "uint2", "nf4", "fp4"]


def check_contrib(case, build, opset, dtype, symmetric, size):
    net = Net(case.name, opset)
    build(net)
    original, made, report = case.folder / "float.onnx", case.folder / "made.onnx", case.folder / "report.json"
    onnx.save(net.model(), original)
    samples = net.samples(SAMPLES)
    np.savez(case.folder / "samples.npz", **samples)
    policy = case.folder / "policy.yaml"
    weights = f"type: {dtype}, symmetric: {str(symmetric).lower()}, granularity: per_block, block_size: {size}, form: contrib"
    policy.write_text(f"version: 1\nmode: weight-only\nweights: {{ {weights} }}\n")
    tare("quantize", original, "-c", policy, "-o", made, "-q", "--validation", case.folder / "samples.npz", "--report", report)
    model = onnx.load(made)
    onnx.checker.check_model(model)
    case.expect(opset == [o.version for o in model.opset_import if o.domain == ""][0], "the opset was raised")
    kinds = [node.op_type for node in model.graph.node if node.domain == "com.microsoft"]
    case.expect(kinds, "no operator of com.microsoft")
    case.expect("DequantizeLinear" not in [node.op_type for node in model.graph.node], "a DequantizeLinear")
    case.note(" ".join(kinds))
    expect_sqnr(case, original, made, samples, report, BOUNDS_DB[dtype])


# What else a static policy may ask for, and the least that it leaves, in dB: operators without a kernel for it compute in
# float in ONNX Runtime, so it computes what we do.
STATIC = {
    "uint16": ("activations: { type: uint16 }", 30),
    "int16": ("activations: { type: int16 }", 30),
    "uint16-symmetric": ("activations: { type: uint16, symmetric: true }\nweights: { type: uint8 }", 30),
    "int8-symmetric": ("activations: { type: int8, symmetric: true }\nweights: { granularity: per_tensor }", 15),
    "uint8-weights": ("weights: { type: uint8, symmetric: false, granularity: per_tensor }", 20),
    "int4": ("weights: { type: int4 }", 6),
    "int4-learned": ("weights: { type: int4 }\nrepairs: { refit: true, rounding: learned }", 6),
    "int4-wide": ("activations: { type: int16 }\nweights: { type: int4 }", 6),
    "uint4": ("weights: { type: uint4 }", 6),
    "uint4-tensor": ("weights: { type: uint4, granularity: per_tensor, symmetric: false }", 6),
    "contrib-int4": ("contrib: true\nweights: { type: int4 }", 6),
    "int4-beside": ("rules:\n- { match: { op_type: [Conv, MatMul, Gemm] }, weights: { type: int4 } }", 6),
    "powers-of-two": ("activations: { power_of_two: true }\nweights: { power_of_two: true }", 15),
    "float-bias": ("weights: { bias: float32 }", 20),
    "contrib-uint16": ("contrib: true\nactivations: { type: uint16 }", 30),
    "contrib-int16": ("contrib: true\nactivations: { type: int16 }\nio: { inputs: int16 }", 30),
    "contrib-beside": ("contrib: true\nrules:\n- { match: { op_type: [Conv, MatMul, Gemm] }, activations: { type: uint16 } }", 20),
    "types-beside": ("rules:\n- { match: { op_type: [Conv, MatMul, Gemm] }, activations: { type: uint16 } }", 20),
    "integers-outside": ("io: { inputs: uint8, outputs: int8 }", 15),
    "signed-outside": ("activations: { type: int8 }\nio: { inputs: int8, outputs: int8 }", 15),
    "wide-outside": ("activations: { type: int16 }\nio: { inputs: int16, outputs: uint16 }", 30),
    "operators-outside": ("format: qoperator\nio: { inputs: uint8, outputs: uint8 }", 15),
    "outliers": ("activations: { outlier_threshold: 1.5 }", 15),
    "dynamic-outliers": ("mode: dynamic\nactivations: { outlier_threshold: 1.5 }", 20),
    "float8": ("activations: { type: float8e4m3fn }\nweights: { type: float8e4m3fn }", 21),
    "float8-tensor": ("activations: { type: float8e4m3fn }\nweights: { type: float8e4m3fn, granularity: per_tensor }", 21),
    "float8-wide": ("activations: { type: float8e5m2 }\nweights: { type: float8e5m2 }", 17),
    "float8-mixed": ("activations: { type: float8e4m3fn }\nweights: { type: float8e5m2 }\nio: { inputs: int8 }", 17),
    "float8-beside": (
        "rules:\n- match: { op_type: [Conv, MatMul, Gemm] }\n"
        "  activations: { type: float8e4m3fn }\n  weights: { type: float8e4m3fn }",
        20,
    ),
    "modes-beside": ("rules:\n- { match: { op_type: [Conv, MatMul, Gemm] }, mode: dynamic }", 20),
}


# Of weight-only modes, with types that ONNX's own operators have from opset 21 on.
CONTRIB = list(itertools.product(["int4", "uint4"], ["per_tensor", "per_channel"]))


def across_the_border(model, samples, optimize):
    """Runs a model, whose inputs and outputs may be integers, for float numbers."""
    proto = onnx.load(model)
    grids = {p.key[len("tare.io.") :]: json.loads(p.value) for p in proto.metadata_props if p.key.startswith("tare.io.")}
    fed = dict(samples)
    for value in proto.graph.input:
        if value.name in grids:
            grid, dtype = grids[value.name], helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            steps = np.rint(samples[value.name] / np.float32(grid["scale"])) + grid["zero_point"]
            fed[value.name] = np.clip(steps, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
    made = run(model, fed, optimize=optimize)
    real = {name: (made[name].astype(np.float32) - g["zero_point"]) * g["scale"] for name, g in grids.items() if name in made}
    return {**made, **real}


def check_static(case, build, opset, text, bound):
    net = Net(case.name, opset)
    build(net)
    original, made, report = case.folder / "float.onnx", case.folder / "made.onnx", case.folder / "report.json"
    onnx.save(net.model(), original)
    # Those that validate are among those that calibrate: what lies beyond every range would tell of the samples alone.
    every = net.samples(16)
    samples = {name: array[:SAMPLES] for name, array in every.items()}
    np.savez(case.folder / "calibration.npz", **every)
    np.savez(case.folder / "samples.npz", **samples)
    policy = case.folder / "policy.yaml"
    policy.write_text(f"version: 1\n{text}\n")
    data = ["--data", case.folder / "calibration.npz", "--validation", case.folder / "samples.npz", "--report", report]
    tare("quantize", original, "-c", policy, "-o", made, "-q", *([] if "mode: dynamic\n" in text else ["--calibrator", "minmax"]), *data)
    onnx.checker.check_model(str(made), full_check=True)
    if "contrib" in text:
        expect_own_opset(case, made, opset)
    caution = "optimizations disabled" if "float8e5m2" in text else "no higher than basic"
    cautious = any(caution in warning for warning in json.loads(report.read_text())["warnings"])
    case.expect(cautious == ("float8" in text), "the report does not say how ONNX Runtime loads float8, or says it of integers")
    expected, stated = run(original, samples), report_outputs(report)
    # Fusions for integers take float8 for such, and even at basic biases overflow in steps of float8e5m2.
    levels = [False] if "float8e5m2" in text else [False, "basic" if "float8" in text else True]
    for optimize in levels:
        for name, found in across_the_border(made, samples, optimize).items():
            measured = sqnr(expected[name], found)
            case.expect(measured >= bound, f"{name}: SQNR {measured:.1f} dB, expected {bound} or more")
            # Integer kernels round once more than our re-execution does.
            good = abs(stated[name] - measured) <= (1.5 if optimize else 0.3)
            case.expect(good, f"{name}: the report states {stated[name]:.2f} dB, ONNX Runtime shows {measured:.2f}")


def expect_refusal(case, build, opset, text):
    net = Net(case.name, opset)
    build(net)
    original, policy, made = case.folder / "float.onnx", case.folder / "refused.yaml", case.folder / "refused.onnx"
    onnx.save(net.model(), original)
    np.savez(case.folder / "refused.npz", **net.samples(SAMPLES))
    policy.write_text(f"version: 1\n{text}\n")
    done = tare("quantize", original, "-c", policy, "--data", case.folder / "refused.npz", "-o", made, "-q", expect=2)
    case.expect("no input that could be" in done.stderr, f"refused without the reason: {done.stderr}")
    case.expect(not made.exists(), "a refused model was written")


def expect_own_opset(case, made, opset):
    """A model that may have operators of ONNX Runtime's domain keeps its opset."""
    imports = {i.domain: i.version for i in onnx.load(made).opset_import}
    case.expect(imports[""] == opset, f"opset {imports['']}, expected {opset}")
    case.expect(opset >= 21 or "com.microsoft" in imports, "ONNX Runtime's domain is not imported")


def check(case, build, opset, mode, dtype, symmetric, granularity, agreement, more=""):
    net = Net(case.name, opset)
    build(net)
    model = net.model()
    original, made, report = case.folder / "float.onnx", case.folder / "made.onnx", case.folder / "report.json"
    onnx.save(model, original)
    samples = net.samples(SAMPLES)
    np.savez(case.folder / "samples.npz", **samples)
    policy = case.folder / "policy.yaml"
    weights = f"type: {dtype}, symmetric: {str(symmetric).lower()}, granularity: {granularity}"
    policy.write_text(f"version: 1\n{more}mode: {mode}\nweights: {{ {weights} }}\n")
    data = ["--validation", case.folder / "samples.npz", "--report", report]
    tare("quantize", original, "-c", policy, "-o", made, "-q", *data)
    onnx.checker.check_model(str(made), full_check=True)
    if "contrib" in more:
        expect_own_opset(case, made, opset)
    stored = [t for graph in graphs(onnx.load(made).graph) for t in graph.initializer if "_quantized" in t.name]
    case.expect(stored, "no weight is stored as integers")
    # With optimisations, ONNX Runtime makes a MatMul of such a weight one that rounds its activations, too.
    expect_sqnr(case, original, made, samples, report, BOUNDS_DB[dtype], agreement, optimized=False)


def main():
    suite = Suite()
    for mode, granularities, types, agreement in MODES:
        for build, (dtype, symmetric), granularity in itertools.product(NETS, types, granularities):
            # Integer kernels want one zero point for all channels.
            if mode == "dynamic" and granularity == "per_channel" and not symmetric:
                continue
            for opset in [13, 21]:
                words = [mode, build.__name__, dtype, "symmetric" if symmetric else "asymmetric"]
                name = "-".join([*words, *granularity.split(", block_size: "), str(opset)])
                if suite.chosen(name):
                    with suite.case(name) as case:
                        check(case, build, opset, mode, dtype, symmetric, granularity, agreement)
    for build, dtype, symmetric, size in itertools.product([matrices, gemm, lookup], OPERANDS, [True, False], [16, 32, 128]):
        name = f"operands-{build.__name__}-{dtype}-{'symmetric' if symmetric else 'asymmetric'}-{size}"
        if suite.chosen(name):
            with suite.case(name) as case:
                check_contrib(case, build, 17, dtype, symmetric, size)
    for build, (dtype, granularity), opset in itertools.product(NETS, CONTRIB, [13, 21]):
        name = f"contrib-{build.__name__}-{dtype}-{granularity}-{opset}"
        if suite.chosen(name):
            with suite.case(name) as case:
                check(case, build, opset, "weight-only", dtype, True, granularity, 0.1, "contrib: true\n")
    for build, (words, (text, bound)), opset in itertools.product([*NETS[:5], speech], STATIC.items(), [13, 21]):
        name = f"static-{build.__name__}-{words}-{opset}"
        if suite.chosen(name):
            with suite.case(name) as case:
                # Indices do not become integers on a grid: asking for nothing else is refused.
                if build is lookup and "inputs:" in text and "outputs:" not in text:
                    expect_refusal(case, build, opset, text)
                    text = "\n".join(line for line in text.split("\n") if not line.startswith("io:"))
                check_static(case, build, opset, text, bound)
    suite.finish()


main()
