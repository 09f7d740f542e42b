"""Modes other than static, over every type and granularity that the policy admits: what is written loads in ONNX Runtime, is
what our own re-execution says, and is as near to the float model as the steps of its weights."""

import itertools

import numpy as np
import onnx
from common import Suite, report_outputs, run, sqnr, tare
from net import Net

# What the rounding of a few layers leaves, by the bits of the weights, in dB: the worst is one scale for a whole tensor.
BOUNDS_DB = {8: 30.0, 4: 6.0}
# Our re-execution and ONNX Runtime compute the same in float32, each in its own order.
AGREEMENT_DB = 0.1
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


NETS = [convolutions, matrices, gemm, lookup, residual]
TYPES = [("int8", True), ("int8", False), ("uint8", True), ("uint8", False)]
TYPES += [("int4", True), ("int4", False), ("uint4", True), ("uint4", False)]
GRANULARITIES = ["per_tensor", "per_channel", "per_block, block_size: 16", "per_block, block_size: 32"]


def check(case, build, opset, dtype, symmetric, granularity):
    net = Net(case.name, opset)
    build(net)
    model = net.model()
    original, made, report = case.folder / "float.onnx", case.folder / "made.onnx", case.folder / "report.json"
    onnx.save(model, original)
    samples = net.samples(SAMPLES)
    np.savez(case.folder / "samples.npz", **samples)
    policy = case.folder / "policy.yaml"
    weights = f"type: {dtype}, symmetric: {str(symmetric).lower()}, granularity: {granularity}"
    policy.write_text(f"version: 1\nmode: weight-only\nweights: {{ {weights} }}\n")
    data = ["--validation", case.folder / "samples.npz", "--report", report]
    tare("quantize", original, "-c", policy, "-o", made, "-q", *data)
    onnx.checker.check_model(str(made), full_check=True)
    stored = [t for t in onnx.load(made).graph.initializer if t.name.endswith("_quantized")]
    case.expect(stored, "no weight is stored as integers")
    expected, stated = run(original, samples), report_outputs(report)
    for optimize in [False, True]:
        for name, found in run(made, samples, optimize=optimize).items():
            measured = sqnr(expected[name], found)
            bound = BOUNDS_DB[8 if dtype.endswith("8") else 4]
            case.expect(measured >= bound, f"{name}: SQNR {measured:.1f} dB, expected {bound} or more")
            # With optimisations, ONNX Runtime makes a MatMul of such a weight one that rounds its activations, too.
            good = optimize or abs(stated[name] - measured) <= AGREEMENT_DB
            case.expect(good, f"{name}: the report states {stated[name]:.2f} dB, ONNX Runtime shows {measured:.2f}")


def main():
    suite = Suite()
    for build, (dtype, symmetric), granularity in itertools.product(NETS, TYPES, GRANULARITIES):
        for opset in [13, 21]:
            words = [build.__name__, dtype, "symmetric" if symmetric else "asymmetric", *granularity.split(", block_size: ")]
            name = "-".join([*words, str(opset)])
            if suite.chosen(name):
                with suite.case(name) as case:
                    check(case, build, opset, dtype, symmetric, granularity)
    suite.finish()


main()
