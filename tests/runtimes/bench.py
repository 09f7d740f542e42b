"""`tare bench` beside ONNX Runtime's own binding: the nodes are those that its profile names, whatever model and thread count,
and what is told of files and memory is so. How long anything takes is not looked at."""

import json
import os
import tempfile

import models_conv  # noqa: F401 (importing fills the catalogue)
import models_matmul  # noqa: F401
import models_text  # noqa: F401
import numpy as np
import onnx
import onnxruntime as ort
from catalogue import CATALOGUE
from common import Suite, tare

# The library of the package that runs this script.
LIBRARY = os.path.dirname(ort.__file__)
# Every so many models of the catalogue.
EVERY = 5
RUNS = 6


def profiled(path, sample):
    """The nodes that run, by name, with their operators."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(folder, "profile")
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        session.run(None, sample)
        with open(session.end_profiling()) as file:
            events = json.load(file)
    ran = [event for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    return {event["name"].removesuffix("_kernel_time"): event["args"]["op_name"] for event in ran}


def first_sample(model, arrays):
    """The first row as a batch, where the input has a batch; whole tensors are rows of their own."""
    sample = {}
    for value in model.graph.input:
        array = arrays[value.name]
        rank = len(value.type.tensor_type.shape.dim)
        sample[value.name] = array[0] if array.ndim > rank else array[:1]
    return sample


def measure(case, entry):
    model, calibration, validation = entry.make()
    original, quantized = case.folder / "float.onnx", case.folder / "int8.onnx"
    onnx.save(model, original)
    np.savez(case.folder / "calibration.npz", **calibration)
    np.savez(case.folder / "validation.npz", **validation)
    policy = case.folder / "policy.yaml"
    policy.write_text("version: 1\n" + entry.policy)
    samples = ["-c", policy, "--data", case.folder / "calibration.npz"]
    tare("quantize", original, *samples, "--no-validation", "-o", quantized, "-q")
    told = bench(case, [original, quantized], "--data", case.folder / "validation.npz", "--samples", 1)
    for path, subject in zip([original, quantized], told["models"], strict=True):
        case.expect(subject["bytes"] == path.stat().st_size, f"{path.name}: {subject['bytes']} bytes")
    engines = [(m["engine"].split()[0], m["threads"]) for m in told["measurements"]]
    case.expect(engines == [("ONNX", 1), ("ONNX", 2)], f"measured: {engines}")
    for path, timed in zip([original, quantized], told["measurements"][0]["models"], strict=True):
        expected = profiled(path, first_sample(model, validation))
        shown = {node["node"]: node["op_type"] for node in timed["profile"]["nodes"]}
        case.expect(shown == expected, f"{path.name}: {sorted(shown.items() ^ expected.items())[:6]}")
        nodes = sum(operator["nodes"] for operator in timed["profile"]["operators"])
        case.expect(nodes == len(expected), f"{path.name}: {nodes} nodes by operator, {len(expected)} in all")


def bench(case, models, *flags):
    """A report, all of which has to be there; and nothing else may be left behind."""
    report = case.folder / "bench.json"
    before = set(os.listdir(case.folder)) | {report.name}
    where = ["--engine", "onnxruntime", "--onnxruntime", LIBRARY, "--threads", "1,2"]
    tare("bench", *models, *flags, *where, "--runs", RUNS, "--nodes", "--report", report, cwd=case.folder)
    told = json.loads(report.read_text())
    for measurement in told["measurements"]:
        case.expect(measurement["runs"] == RUNS, f"{measurement['runs']} runs")
        for timed in measurement["models"]:
            case.expect(timed["error"] is None, f"{timed['model']}: {timed['error']}")
            case.expect(timed["latency_ms"]["min"] > 0 < timed["ratio"]["min"], f"{timed}")
            memory = timed["memory"]
            case.expect(memory["peak_bytes"] > memory["before_bytes"] > 0, f"memory: {memory}")
    left = set(os.listdir(case.folder)) - before
    case.expect(not left, f"left behind: {left}")
    return told


def large(suite):
    """Weights in a file beside the model count, on disk and in memory; in a model without them neither grows."""
    with suite.case("large") as case:
        size = 4096
        small = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, size])
        out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, size])
        weight = onnx.numpy_helper.from_array(np.random.default_rng(3).random((size, size), np.float32), "w")
        paths = {}
        for name, op, inputs, weights in [("large", "MatMul", ["x", "w"], [weight]), ("small", "Relu", ["x"], [])]:
            graph = onnx.helper.make_graph([onnx.helper.make_node(op, inputs, ["y"])], name, [small], [out], weights)
            model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
            paths[name] = case.folder / f"{name}.onnx"
            onnx.save(model, paths[name], save_as_external_data=True, location=f"{name}.data", size_threshold=1024)
        told = bench(case, [paths["small"], paths["large"]])
        weights = 4 * size * size
        case.expect(told["models"][1]["bytes"] > weights > 10 * told["models"][0]["bytes"], f"{told['models']}")
        peaks = [timed["memory"]["peak_bytes"] for timed in told["measurements"][0]["models"]]
        case.note(f"peaks {peaks}")
        case.expect(weights < peaks[1] < peaks[0] + 4 * weights, f"peaks: {peaks}")
        case.expect(peaks[0] < weights + (200 << 20), f"peaks: {peaks}")


def main():
    suite = Suite()
    for entry in CATALOGUE[::EVERY]:
        if suite.chosen(entry.name):
            with suite.case(entry.name) as case:
                measure(case, entry)
    if suite.chosen(large.__name__):
        large(suite)
    suite.finish()


main()
