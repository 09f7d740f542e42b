"""Defects known from other quantizers that take more than one conversion to see; the others are among the generated
models, named by the same numbers."""

import hashlib
import json
import resource

import numpy as np
import onnx
from common import Suite, interface, report_outputs, run, sqnr, tare
from net import BATCH, Net
from onnx import numpy_helper

HISTOGRAMS = ("percentile", "entropy", "mse")


def save(case, net, name="float.onnx"):
    path = case.folder / name
    onnx.save(net.model(), path)
    return path


def small_net(name="small"):
    net = Net(name)
    x = net.input([3, 10, 10])
    x = net.node("Relu", net.conv(x, 3, 6))
    net.output(net.conv(x, 6, 4), [4, 10, 10])
    return net


def d1_entropy_clips(case, extremes):
    """Another calibrator has to give other scales: entropy that equals min-max has not looked for a threshold."""
    net = small_net()
    model = save(case, net)
    samples = net.samples(40)
    # Numbers far out, as real activations have: they set the range of min-max.
    for row, extreme in enumerate(extremes):
        samples["x"][row, 0, 0, 0] = extreme
    np.savez(case.folder / "data.npz", **samples)
    files = {}
    for calibrator in ("minmax", "entropy"):
        out = case.folder / f"{calibrator}.onnx"
        tare("quantize", model, "--data", case.folder / "data.npz", "-o", out, "--calibrator", calibrator, "-q")
        files[calibrator] = onnx.load(out).graph
    scales = {name: input_scale(graph) for name, graph in files.items()}
    case.note(f"scales of x {scales['minmax']:.4f} and {scales['entropy']:.4f}")
    case.expect(scales["entropy"] < 0.5 * scales["minmax"], f"entropy does not cut off lone extremes: {scales}")


def input_scale(graph):
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    first = next(n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == graph.input[0].name)
    return float(stored[first.input[1]])


def d2_every_sample_counts(case, count):
    """The range of min-max is that of all samples, whichever of them holds the extremes."""
    net = small_net()
    model = save(case, net)
    for at in range(count):
        samples = net.samples(count)
        samples["x"][at, 0, 0, 0], samples["x"][at, 2, 9, 9] = -40.0, 60.0
        data, out = case.folder / f"data{at}.npz", case.folder / f"{at}.onnx"
        np.savez(data, **samples)
        tare("quantize", model, "--data", data, "--validation", data, "-o", out, "--calibrator", "minmax", "-q")
        scale = input_scale(onnx.load(out).graph)
        case.expect(abs(scale - 100 / 255) < 1e-6, f"extremes in sample {at} of {count}: a scale of {scale}")


def d8_half_floats(case, opset):
    """Scales of float16 came with opset 19. A model in float16 is widened to float32 before it is quantized, and keeps the
    types of its inputs and outputs."""
    net = small_net()
    net.opset = opset
    model = net.model()
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.checker.check_model(model, full_check=True)
    path, data, out, report = (case.folder / name for name in ("float.onnx", "data.npz", "int8.onnx", "report.json"))
    onnx.save(model, path)
    np.savez(data, **{name: array.astype(np.float16) for name, array in net.samples(10).items()})
    samples = dict(np.load(data))
    for mode, bound in (("static", 25), ("weight-only", 30)):
        tare("quantize", path, "--mode", mode, "--data", data, "-o", out, "--report", report)
        onnx.checker.check_model(str(out), full_check=True)
        case.expect(interface(path) == interface(out), f"{mode}: inputs or outputs changed their names, types or shapes")
        stored = {t.name: t.data_type for t in onnx.load(out).graph.initializer}
        integers = [name for name, dtype in stored.items() if dtype == onnx.TensorProto.INT8 and "_quantized" in name]
        case.expect(integers, f"{mode}: no weight became integers")
        case.expect(report_outputs(report), f"{mode}: it was not validated")
        for name, expected in run(path, samples).items():
            measured = sqnr(expected, run(out, samples)[name])
            case.expect(measured > bound, f"{mode}: {name} SQNR {measured:.1f} dB")


def d10_bad_sample(case, value, word):
    """One number of one sample is no number: an error that names the value and the sample."""
    net = small_net()
    model = save(case, net)
    samples = net.samples(20)
    samples["x"][7, 1, 2, 3] = value
    data, out = case.folder / "data.npz", case.folder / "int8.onnx"
    np.savez(data, **samples)
    said = tare("quantize", model, "--data", data, "-o", out, expect=2).stderr
    case.expect(word in said.lower(), f"the message does not say {word}: {said.strip()}")
    case.expect("data.npz[7]" in said, f"the message does not name the sample data.npz[7]: {said.strip()}")
    case.expect('"x"' in said, f"the message does not name the value x: {said.strip()}")
    case.expect(not out.exists(), "a model was written all the same")


def d10_infinity_inside(case):
    """The samples are finite, a value inside is not."""
    net = Net("overflow")
    x = net.input([3, 10, 10])
    x = net.node("Exp", net.conv(x, 3, 6), name="grow")
    net.output(net.conv(x, 6, 4), [4, 10, 10])
    samples = net.samples(20)
    samples["x"][8] *= 1000
    data, out = case.folder / "data.npz", case.folder / "int8.onnx"
    np.savez(data, **samples)
    said = tare("quantize", save(case, net), "--data", data, "-o", out, expect=2).stderr
    case.expect("grow_out" in said, f"the message does not name the value grow_out: {said.strip()}")
    case.expect("data.npz[8]" in said, f"the message does not name the sample data.npz[8]: {said.strip()}")


def d11_varying_shapes(case, calibrator):
    """Samples of unlike length: a folder of archives, of which each holds samples of one length."""
    net = Net("varying")
    net.inputs.append(onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [BATCH, 4, "L"]))
    x = net.node("Conv", "x", net.constant(net.weights(6, 4, 3)), net.constant(net.bias(6)), pads=[1, 1])
    x = net.node("Conv", net.node("Relu", x), net.constant(net.weights(3, 6, 3)), pads=[1, 1])
    net.outputs.append(onnx.helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, [BATCH, 3, "L"]))
    model, out = save(case, net), case.folder / "int8.onnx"
    data = case.folder / "data"
    data.mkdir()
    batches = [net.random.normal(0, 1, (10, 4, length)).astype(np.float32) for length in (12, 31, 20)]
    for number, batch in enumerate(batches):
        np.savez(data / f"{number}.npz", x=batch)
    report = case.folder / "report.json"
    where = ["--data", data, "--validation", data, "-o", out, "--report", report]
    tare("quantize", model, *where, "--calibrator", calibrator)
    onnx.checker.check_model(str(out), full_check=True)
    pairs = [(run(model, {"x": b})[x].ravel(), run(out, {"x": b})[x].ravel()) for b in batches]
    measured = sqnr(*(np.concatenate(part) for part in zip(*pairs)))
    case.note(f"{measured:.1f} dB")
    # Entropy and percentile cut off what is rare, which costs on random data, where nothing is an outlier.
    case.expect(measured >= 15, f"SQNR {measured:.1f} dB, expected 15 or more")
    stated = report_outputs(report)[x]
    case.expect(abs(stated - measured) < 0.3, f"the report states {stated:.2f} dB, ONNX Runtime shows {measured:.2f}")


def d19_batching(case, calibrator):
    """How the samples are spread over files changes no byte of the result."""
    net = small_net()
    model = save(case, net)
    samples = net.samples(30)["x"]
    made = []
    for number, cuts in enumerate(([30], [7, 19, 30])):
        data = case.folder / f"data{number}"
        data.mkdir()
        for part in np.split(samples, cuts[:-1]):
            np.savez(data / f"{len(list(data.iterdir()))}.npz", x=part)
        out = case.folder / f"{number}.onnx"
        tare("quantize", model, "--data", data, "-o", out, "--calibrator", calibrator, "-q")
        made.append(out.read_bytes())
    case.expect(made[0] == made[1], "the same samples in other files gave another model")


def int8_moved_to_float(case, op_type):
    """Where int8 activations at opset 21 are moved and then read in float, ONNX Runtime 1.31.1 writes a pair behind the movement
    and does not load what it made of it, unless such a pair is there."""
    net = Net(f"moved by {op_type}", opset=21)
    x = net.conv(net.input([4, 8, 8]), 4, 4)
    more = {
        "MaxPool": ([], {"kernel_shape": [2, 2], "strides": [2, 2]}, [4, 4, 4]),
        "Transpose": ([], {"perm": [0, 1, 3, 2]}, [4, 8, 8]),
        "Reshape": ([[0, 2, 2, 64]], {}, [2, 2, 64]),
        "Unsqueeze": ([[1]], {}, [1, 4, 8, 8]),
        "Slice": ([[1], [3], [2]], {}, [4, 2, 8]),
    }
    constants, attributes, shape = more[op_type]
    x = net.node(op_type, x, *[net.constant(c, dtype=np.int64) for c in constants], **attributes)
    net.output(net.node("Abs", x), shape)
    model, data = save(case, net), case.folder / "data.npz"
    np.savez(data, **net.samples(20))
    out, policy = case.folder / "int8.onnx", case.folder / "policy.yaml"
    policy.write_text("version: 1\nactivations: { type: int8 }\n")
    tare("quantize", model, "-c", policy, "--data", data, "-o", out, "-q")
    samples = net.samples(4)
    reference = run(model, samples)
    for optimize in (False, True):
        found = run(out, samples, optimize=optimize, precise=True)
        for name, expected in reference.items():
            db = sqnr(expected, found[name])
            case.expect(db > 25, f"{name}, {optimize=}: {db:.1f} dB")


def d22_reasons(case):
    """Every node of the prepared model is counted as integer, or listed with the reason why it is not."""
    net = Net("reasons")
    x = net.node("Relu", net.conv(net.input([3, 10, 10]), 3, 6), name="relu")
    x = net.node("Softplus", net.conv(x, 6, 6), name="softplus")
    x = net.node("Softmax", net.conv(x, 6, 4), axis=1, name="softmax")
    net.output(net.node("Sqrt", x, name="sqrt"), [4, 10, 10])
    model, data = save(case, net), case.folder / "data.npz"
    np.savez(data, **net.samples(10))
    report = case.folder / "report.json"
    # What samples have added to the model, `tare inspect` cannot know of.
    options = ["--no-smooth", "--report", report]
    said = tare("quantize", model, "--data", data, "-o", case.folder / "int8.onnx", *options).stdout
    placed = json.loads(report.read_text())["placement"]
    reasons = {name: group["reason"] for group in placed["float"] for name in group["nodes"]}
    case.expect(set(reasons) == {"softplus", "softmax", "sqrt"}, f"listed as float: {reasons}")
    counted = placed["integer"] + placed["absorbed"] + len(reasons)
    case.expect(counted == placed["nodes"], f"{counted} of {placed['nodes']} nodes are accounted for")
    for text, where in ((said, "quantize"), (tare("inspect", model).stdout, "inspect")):
        for op_type, reason in ((group["op_type"], group["reason"]) for group in placed["float"]):
            case.expect(op_type in text and reason in text, f"`tare {where}` does not say of {op_type}: {reason}")


def main():
    suite = Suite()
    tests = [
        ("d1_entropy_clips_one_side", d1_entropy_clips, ([60.0],)),
        ("d1_entropy_clips_both_sides", d1_entropy_clips, ([60.0, -60.0],)),
        ("d10_infinity", d10_bad_sample, (np.inf, "inf")),
        ("d10_not_a_number", d10_bad_sample, (np.nan, "nan")),
        ("d10_infinity_inside", d10_infinity_inside, ()),
    ]
    tests += [(f"d2_every_sample_of_{count}_counts", d2_every_sample_counts, (count,)) for count in (1, 3, 10)]
    tests += [(f"d8_half_floats_at_opset_{opset}", d8_half_floats, (opset,)) for opset in (17, 21)]
    movements = ("MaxPool", "Transpose", "Reshape", "Unsqueeze", "Slice")
    tests += [(f"int8_moved_to_float_by_{name}", int8_moved_to_float, (name,)) for name in movements]
    tests.append(("d22_reasons", d22_reasons, ()))
    tests += [(f"d11_varying_shapes_{name}", d11_varying_shapes, (name,)) for name in HISTOGRAMS]
    tests += [(f"d19_batching_{name}", d19_batching, (name,)) for name in ("moving_average", "mse")]
    for name, test, arguments in tests:
        if suite.chosen(name):
            with suite.case(name) as case:
                test(case, *arguments)
    suite.finish()


main()
