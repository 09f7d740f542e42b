"""Mode float16, and bfloat16 as far as the checker goes: what is written is valid, loads in ONNX Runtime, is what our own
re-execution says, and is as near to the float model as the rounding of its numbers."""

import itertools
import json
import os

import numpy as np
import onnx
import onnxruntime as ort
from common import Suite, graphs, interface, report_outputs, run, sqnr, tare
from net import Net
from onnx import TensorProto, helper

BOUND_DB = 50.0
# ONNX Runtime decides by what stands around a node where its numbers are rounded to float16.
AGREEMENT_DB = 1.5
# Above it, the error is that of a few roundings, and their number is chance.
CHANCE_DB = 70.0
SAMPLES = 8


def convolutions(net):
    x = net.input([5, 9, 9])
    y = net.relu6(net.batch_norm(net.conv(x, 5, 12), 12))
    y = net.node("ConvTranspose", y, net.constant(net.weights(12, 7, 2, 2, fan_in=12)), strides=[2, 2])
    net.output(net.node("Sigmoid", y), [7, 18, 18])


def classifier(net):
    x = net.input([3, 12, 12])
    y = net.node("Relu", net.conv(x, 3, 8))
    y = net.node("Add", y, net.conv(y, 8, 8))
    y = net.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    net.output(net.node("Softmax", net.head(net.node("Relu", y), 8), axis=1), [10])


def attention(net):
    ids = net.input_indices([6], "ids", below=50)
    x = net.node("Gather", net.constant(net.weights(50, 16, fan_in=16)), ids)
    q, k, v = (net.node("MatMul", x, net.constant(net.weights(16, 16, fan_in=16))) for _ in range(3))
    scores = net.node("MatMul", q, net.node("Transpose", k, perm=[0, 2, 1]))
    mask = net.node("Cast", net.node("Greater", ids, net.ints(5)), to=TensorProto.FLOAT)
    mask = net.node("Mul", net.node("Sub", net.constant(1.0), mask), net.constant(np.finfo(np.float32).min))
    scores = net.node("Add", scores, net.node("Unsqueeze", mask, net.ints(1)))
    y = net.node("MatMul", net.node("Softmax", scores, axis=-1), v)
    y = net.node("Add", x, y)
    y = net.node("LayerNormalization", y, net.constant(np.ones(16)), net.constant(net.bias(16)))
    net.output(y, [6, 16])


def recurrent(net):
    """Without a MatMul behind: ONNX Runtime 1.31.1 crashes while it optimizes float16 models that have both."""
    x = net.node("Transpose", net.input([7, 6]), perm=[1, 0, 2])
    w, r, b = (net.constant(net.weights(1, *shape, fan_in=12)) for shape in ([32, 6], [32, 8], [64]))
    y = net.node("Squeeze", net.node("LSTM", x, w, r, b, hidden_size=8), net.ints(1))
    net.output(net.node("Transpose", net.node("Tanh", y), perm=[1, 0, 2]), [7, 8])


def resized(net):
    y = net.conv(net.input([4, 6, 6]), 4, 8)
    scales = net.constant([1, 1, 2, 2])
    y = net.node("Concat", net.node("Resize", y, "", scales, mode="linear"), net.node("Resize", y, "", scales), axis=1)
    net.output(net.conv(y, 16, 4), [4, 12, 12])


def sized(net):
    """The size of a Resize computed in floats, as exporters spell it out."""
    y = net.conv(net.input([4, 6, 6]), 4, 4)
    size = net.node("Cast", net.node("Slice", net.node("Shape", y), net.ints(2), net.ints(4)), to=TensorProto.FLOAT)
    size = net.node("Cast", net.node("Floor", net.node("Mul", size, net.constant(2.5))), to=TensorProto.INT64)
    size = net.node("Concat", net.node("Slice", net.node("Shape", y), net.ints(0), net.ints(2)), size, axis=0)
    y = net.node("Resize", y, "", "", size, mode="nearest")
    net.output(net.conv(y, 4, 4), [4, 15, 15])


def branches(net):
    """An If whose bodies read what nodes in float16 make, and weights of their own."""
    x = net.conv(net.input([4, 6, 6]), 4, 4)
    big = net.node("Greater", net.node("ReduceMax", net.node("Abs", x), keepdims=0), net.constant(0.1))
    weight = onnx.numpy_helper.from_array(net.weights(4, 4, 1, 1), "inner_weight")
    info = [helper.make_tensor_value_info("then_out", TensorProto.FLOAT, None)]
    then = helper.make_graph([helper.make_node("Conv", [x, "inner_weight"], ["then_out"])], "then", [], info, [weight])
    info = [helper.make_tensor_value_info("else_out", TensorProto.FLOAT, None)]
    other = helper.make_graph([helper.make_node("Neg", [x], ["else_out"])], "else", [], info)
    y = net.node("If", big, then_branch=then, else_branch=other)
    net.output(net.conv(net.node("Relu", y), 4, 3), [3, 6, 6])


def large_constant(net):
    """A normalization whose variance lies beyond the range of float16, behind a layer whose numbers do, too."""
    x = net.conv(net.input([4, 6, 6]), 4, 4)
    y = net.node("Div", net.node("Mul", x, net.constant(2e5)), net.constant(3e5))
    net.output(net.conv(y, 4, 4), [4, 6, 6])


def tiny_weights(net):
    """Weights that float16 would lose, whose output is multiplied up again."""
    x = net.input([12])
    y = net.node("MatMul", x, net.constant(net.weights(12, 12, fan_in=12) * 1e-7))
    y = net.node("Mul", y, net.constant(1e7))
    net.output(net.node("MatMul", y, net.constant(net.weights(12, 4, fan_in=12))), [4])


def large_numbers(net):
    """Numbers that only samples show to lie beyond the range, from constants that do not."""
    x = net.conv(net.input([4, 6, 6]), 4, 4)
    y = net.node("Relu", net.node("Mul", x, net.constant(6e4)))
    y = net.node("Mul", y, net.constant(1e-3))
    net.output(net.conv(y, 4, 4), [4, 6, 6])


def normalized(net):
    """LayerNormalization spelled out: squares and sums of numbers whose squares pass the range."""
    x = net.node("MatMul", net.input([5, 24]), net.constant(net.weights(24, 24, fan_in=24) * 300))
    y = net.node("Sub", x, net.node("ReduceMean", x, axes=[-1]))
    variance = net.node("ReduceMean", net.node("Mul", y, y), axes=[-1])
    y = net.node("Div", y, net.node("Sqrt", net.node("Add", variance, net.constant(1e-12))))
    net.output(net.node("MatMul", y, net.constant(net.weights(24, 6, fan_in=24))), [5, 6])


def shared(net):
    """A constant that a node in float16 reads, and one that the policy keeps in float32."""
    x, w = net.input([12]), net.constant(net.weights(12, 12, fan_in=12))
    y = net.node("MatMul", net.node("Tanh", net.node("MatMul", x, w, name="kept")), w)
    net.output(y, [12])
    net.output("kept_out", [12])


NETS = [convolutions, classifier, attention, recurrent, resized, sized, branches, large_constant, tiny_weights]
NETS += [large_numbers, normalized, shared]
POLICIES = {shared: "rules:\n  - { match: { node: kept }, quantize: false }\n"}


def quantize(case, build, opset, mode, keep_io, samples_seen):
    net = Net(f"{build.__name__}-{opset}", opset)
    build(net)
    model = net.model()
    original, made, report = case.folder / "float.onnx", case.folder / "made.onnx", case.folder / "report.json"
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, original)
    samples = net.samples(SAMPLES)
    np.savez(case.folder / "samples.npz", **samples)
    np.savez(case.folder / "calibration.npz", **net.samples(SAMPLES))
    policy = case.folder / "policy.yaml"
    half = f"half: {{ keep_io: {str(keep_io).lower()} }}\n"
    policy.write_text(f"version: 1\nmode: {mode}\n{half}{POLICIES.get(build, '')}")
    data = ["--data", case.folder / "calibration.npz"] if samples_seen else []
    data += ["--validation", case.folder / "samples.npz", "--report", report]
    tare("quantize", original, "-c", policy, "-o", made, "-q", *data)
    onnx.checker.check_model(str(made), full_check=True)
    return original, made, report, samples


def stored(path, dtype):
    """The number of elements in initializers of a type, bodies included."""

    tensors = [t for graph in graphs(onnx.load(path).graph) for t in graph.initializer if t.data_type == dtype]
    return sum(int(np.prod(t.dims)) for t in tensors)


def check(case, build, opset, keep_io, samples_seen):
    original, made, report, samples = quantize(case, build, opset, "float16", keep_io, samples_seen)
    case.expect(stored(made, TensorProto.FLOAT16) > 0, "no constant is float16")
    if keep_io:
        case.expect(interface(original) == interface(made), "inputs or outputs changed their names, types or shapes")
    else:
        graph = onnx.load(made).graph
        values = [v for v in [*graph.input, *graph.output] if v.type.tensor_type.elem_type == TensorProto.FLOAT]
        case.expect(not values, f"{[v.name for v in values]} are float32")
    expected, stated = run(original, samples), report_outputs(report)
    narrow = samples if keep_io else {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in samples.items()}
    for optimize in [False, True]:
        for name, found in run(made, narrow, optimize=optimize).items():
            measured = sqnr(expected[name], found)
            case.note(f"{name} {measured:.1f} dB")
            case.expect(measured >= BOUND_DB, f"{name}: SQNR {measured:.1f} dB, expected {BOUND_DB} or more")
            good = min(stated[name], measured) >= CHANCE_DB or abs(stated[name] - measured) <= AGREEMENT_DB
            case.expect(good, f"{name}: the report states {stated[name]:.2f} dB, ONNX Runtime shows {measured:.2f}")


def check_brain(case, build, opset):
    """bfloat16: ONNX Runtime has next to no kernels for it on a CPU."""
    original, made, report, _ = quantize(case, build, opset, "bfloat16", True, False)
    case.expect(interface(original) == interface(made), "inputs or outputs changed their names, types or shapes")
    case.expect(stored(made, TensorProto.BFLOAT16) > 0, "no constant is bfloat16")
    for name, found in report_outputs(report).items():
        case.expect(found >= 25, f"{name}: SQNR {found:.1f} dB")


def mixed(case):
    """One model with layers of int8, of float16, and of float32."""
    net = Net("mixed")
    y = net.node("Relu", net.conv(net.input([4, 8, 8]), 4, 8))
    y = net.node("Relu", net.node("Conv", y, net.constant(net.weights(8, 8, 3, 3)), name="half", pads=[1, 1, 1, 1]))
    y = net.node("Conv", y, net.constant(net.weights(8, 8, 3, 3)), name="single", pads=[1, 1, 1, 1])
    net.output(net.head(net.node("Relu", y), 8), [10])
    original, made, report = case.folder / "float.onnx", case.folder / "made.onnx", case.folder / "report.json"
    onnx.save(net.model(), original)
    samples = net.samples(20)
    np.savez(case.folder / "samples.npz", **samples)
    rules = "rules:\n  - { match: { node: half }, mode: float16 }\n  - { match: { node: single }, mode: float32 }\n"
    (case.folder / "policy.yaml").write_text("version: 1\n" + rules)
    data = ["--data", case.folder / "samples.npz", "--report", report]
    tare("quantize", original, "-c", case.folder / "policy.yaml", "-o", made, *data)
    onnx.checker.check_model(str(made), full_check=True)
    for dtype in (TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.INT8):
        case.expect(stored(made, dtype) >= 8 * 8, f"no weight of the type {dtype}")
    expected, found = run(original, samples), run(made, samples)
    for name in expected:
        measured = sqnr(expected[name], found[name])
        case.expect(measured > 25, f"{name}: SQNR {measured:.1f} dB")


# What the modes of integers are held to where the model is float16 already and stays so: a policy, and in dB how much less than
# the same with the model widened may be left.
KEPT = {
    "static": ("half: { input: keep }\n", 4.0),
    "weights": ("mode: weight-only\n", 4.0),
    "blocks": ("mode: weight-only\nweights: { type: int4 }\n", 2.0),
    "contrib": ("mode: weight-only\nweights: { type: int4, form: contrib }\n", 2.0),
    "dynamic": ("mode: dynamic\nhalf: { input: keep }\n", 4.0),
}
# Their numbers lie beyond float16, or are lost in it, where the model has been made float16 by force.
NOT_IN_HALF = [large_constant, tiny_weights, large_numbers, normalized]
# Integers of a grid that rounding to float16 has moved to the next one.
STEPS_DB = 25.0


def kept(case, build, opset, policy, loss):
    """A model in float16 whose layers become integers, and which stays in float16 beside them."""
    _, half, _, samples = quantize(case, build, opset, "float16", False, True)
    samples = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in samples.items()}
    expected, measured = run(half, samples), {}
    for input_stays in [True, False]:
        made, report = case.folder / f"kept-{input_stays}.onnx", case.folder / f"kept-{input_stays}.json"
        (case.folder / "kept.yaml").write_text("version: 1\n" + policy)
        data = ["--data", case.folder / "calibration.npz", "--validation", case.folder / "samples.npz", "--report", report]
        what = ["--half-input", "keep" if input_stays else "widen"]
        tare("quantize", half, "-c", case.folder / "kept.yaml", "-o", made, "-q", "--no-default-limits", *what, *data)
        onnx.checker.check_model(str(made), full_check=True)
        case.expect(interface(half) == interface(made), "inputs or outputs changed their names, types or shapes")
        measured[input_stays] = {}
        for optimize in [False, True]:
            for name, found in run(made, samples, optimize=optimize).items():
                left = sqnr(expected[name], found)
                measured[input_stays][name] = min(left, measured[input_stays].get(name, left))
                if input_stays and not optimize:
                    stated = report_outputs(report)[name]
                    good = min(stated, left) >= STEPS_DB or abs(stated - left) <= AGREEMENT_DB
                    case.expect(good, f"{name}: the report states {stated:.2f} dB, ONNX Runtime shows {left:.2f}")
    made, widened = (case.folder / f"kept-{stays}.onnx" for stays in [True, False])
    if policy == KEPT["static"][0]:
        handed_on(case, half, made)
    if "dynamic" not in policy:
        case.expect(stored(made, TensorProto.FLOAT) <= stored(half, TensorProto.FLOAT) + 16, "constants are float32")
        case.expect(made.stat().st_size <= widened.stat().st_size + 100, "the file is larger than that of the widened model")
    for name, left in measured[True].items():
        case.note(f"{name} {left:.1f} dB, widened {measured[False][name]:.1f}")
        good = left >= min(measured[False][name], CHANCE_DB) - loss
        case.expect(good, f"{name}: SQNR {left:.1f} dB, widened {measured[False][name]:.1f}")


def handed_on(case, half, made):
    """The integers that layers hand on beside numbers of 16 bits are those of ONNX Runtime, but for rounding."""
    report = case.folder / "handed.json"
    flags = ["--data", case.folder / "samples.npz", "--reference", "onnxruntime", "--layers", "--report", report, "-q"]
    tare("validate", half, made, *flags, "--onnxruntime", os.path.dirname(ort.__file__))
    found = json.loads(report.read_text())["reference"]["layers"]
    # A recurrent layer runs in float.
    none = not any(node.op_type == "QuantizeLinear" for node in onnx.load(made).graph.node)
    case.expect(none or found["layers"], f"no layers were looked at: {found.get('why_not')}")
    for layer in found["layers"]:
        case.expect(layer["verdict"] in ("same", "rounding"), f"{layer}")
    case.note(f"{len(found['layers'])} values of integers")


def kept_brain(case, build, policy):
    """The same in bfloat16, as far as the checker and our own re-execution go."""
    _, half, _, _ = quantize(case, build, 17, "bfloat16", False, True)
    made, report = case.folder / "kept.onnx", case.folder / "kept.json"
    (case.folder / "kept.yaml").write_text("version: 1\n" + policy)
    data = ["--data", case.folder / "calibration.npz", "--validation", case.folder / "samples.npz", "--report", report]
    tare("quantize", half, "-c", case.folder / "kept.yaml", "-o", made, "-q", "--no-default-limits", *data)
    onnx.checker.check_model(str(made), full_check=True)
    case.expect(interface(half) == interface(made), "inputs or outputs changed their names, types or shapes")
    case.expect(stored(made, TensorProto.FLOAT) == stored(half, TensorProto.FLOAT), "constants are float32")
    for name, found in report_outputs(report).items():
        case.note(f"{name} {found:.1f} dB")
        case.expect(found >= 20, f"{name}: SQNR {found:.1f} dB")


def main():
    suite = Suite()
    for build, words in itertools.product([convolutions, classifier, attention], ["static", "weights"]):
        name = f"{build.__name__}-kept-{words}-bfloat16"
        if suite.chosen(name):
            with suite.case(name) as case:
                kept_brain(case, build, KEPT[words][0])
    for build, (words, (policy, loss)) in itertools.product([n for n in NETS if n not in NOT_IN_HALF], KEPT.items()):
        name = f"{build.__name__}-kept-{words}"
        if suite.chosen(name):
            with suite.case(name) as case:
                kept(case, build, 17, policy, loss)
    for build, opset in itertools.product(NETS, [13, 17]):
        if build is attention and opset < 17:
            continue
        for keep_io, samples_seen in itertools.product([True, False], [True, False]):
            words = [build.__name__, str(opset), "float32-io" if keep_io else "half-io", "seen" if samples_seen else "unseen"]
            if suite.chosen("-".join(words)):
                with suite.case("-".join(words)) as case:
                    check(case, build, opset, keep_io, samples_seen)
        name = f"{build.__name__}-{opset}-bfloat16"
        if suite.chosen(name):
            with suite.case(name) as case:
                check_brain(case, build, opset)
    if suite.chosen("mixed"):
        with suite.case("mixed") as case:
            mixed(case)
    suite.finish()


main()
