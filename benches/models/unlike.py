"""What equalization and bias correction bring back of a network whose channels were made unlike, with one scale for each weight.

Takes the CIFAR-10 network without BatchNormalization, with Relu in the place of Clip, and multiplies each channel between two
layers by a number of its own, by which the weights that read it are divided: in float it stays the same function, but for
rounding. Prints one Markdown table, a row for each width of the numbers, in powers of two to either side: top-1 in per cent of
the float model, and of int8 models without equalization, with it, and with channels refitted as well (`--refit`), judged in
ONNX Runtime."""

import numpy as np
import onnx
from onnx import numpy_helper

import common
import runtime

COLUMNS = ["numbers", "float", "not equalized", "equalized", "equalized, refitted", "channels refitted alone"]
OFF, REFIT = "repairs: { equalize: false }\n", "repairs: { refit: true }\n"
POLICIES = [OFF, "", REFIT, "repairs: { equalize: false, refit: true }\n"]
WHOLE = "weights: { granularity: per_tensor }\n"


def unlike(path, width, seed=0):
    """The model with channels between two Convs, or a Conv and the Gemm, that differ by random factors."""
    model = onnx.load(path)
    nodes = model.graph.node
    weights = {t.name: t for t in model.graph.initializer}
    arrays = {name: numpy_helper.to_array(t).astype(np.float64) for name, t in weights.items()}
    for node in nodes:
        if node.op_type == "Clip":
            node.op_type = "Relu"
            del node.input[1:]
    layers = [node for node in nodes if node.op_type in ("Conv", "Gemm")]
    random = np.random.default_rng(seed)
    for first, second in zip(layers, layers[1:]):
        made, bias, read = first.input[1], first.input[2], second.input[1]
        factors = 2 ** random.uniform(-width, width, arrays[made].shape[0])
        arrays[made] *= factors.reshape(-1, *[1] * (arrays[made].ndim - 1))
        arrays[bias] *= factors
        # A depthwise layer has one input channel for each output, all others have them along the second axis.
        alone = arrays[read].shape[1] == 1
        shape = (-1, 1) if alone else (1, -1)
        arrays[read] /= factors.reshape(*shape, *[1] * (arrays[read].ndim - 2))
    for name, tensor in weights.items():
        tensor.CopyFrom(numpy_helper.from_array(arrays[name].astype(numpy_helper.to_array(tensor).dtype), name))
    return model


def top1(model, arrays):
    scores = next(iter(runtime.outputs(runtime.session(model), arrays).values()))
    scores = np.asarray(scores).reshape(len(arrays["__labels__"]), -1)
    return 100 * np.mean(scores.argmax(axis=1) == arrays["__labels__"])


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--widths", default="0,2,4,6", help="powers of two to either side, some of them")
    options = parser.parse_args()
    options.names = ["cifar10_mbv1_bnfolded"]
    bench = common.Bench(options)
    case = bench.cases[0]
    arrays = dict(np.load(bench.data(case, "test")))
    folder = bench.work / "unlike"
    folder.mkdir(exist_ok=True)
    common.print_head(COLUMNS)
    for width in map(float, options.widths.split(",")):
        model, output = folder / f"{width:g}.onnx", folder / f"{width:g}-int8.onnx"
        onnx.save(unlike(bench.model(case), width), model)
        found = [top1(model, arrays)]
        for policy in POLICIES:
            data = [bench.data(case, split) for split in ("calibration", "test")]
            bench.tare.quantize(bench.tare.policy(case, model, *data, WHOLE + policy), output)
            found.append(top1(output, arrays))
        common.print_row([f"2^-{width:g} to 2^{width:g}", *(f"{one:.1f}" for one in found)])


if __name__ == "__main__":
    main()
