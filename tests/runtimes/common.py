"""What every script here needs: running the converter, running ONNX Runtime, and counting."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

ROOT = Path(__file__).resolve().parents[2]
TARE = os.environ.get("TARE") or str(ROOT / "target/debug/tare")
# A hanging converter should fail its own test, not the whole run.
TIMEOUT_SECONDS = 120
# Operators that should have become integer ones wherever their weights are constant. The Fused ones are what ONNX
# Runtime makes of a float operator and the activation behind it.
FLOAT_COMPUTE = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}


class Case:
    """One named test; goes on after a failed expectation, so that one run shows all that is wrong."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder
        self.problems = []
        self.notes = []

    def expect(self, good, message):
        if not good:
            self.problems.append(message)
        return bool(good)

    def note(self, text):
        self.notes.append(text)


class Suite:
    """The cases of one script. `only` on the command line chooses cases by parts of their names."""

    def __init__(self):
        self.only = sys.argv[1:]
        self.passed = 0
        self.failed = 0
        self.folder = Path(tempfile.mkdtemp(prefix="tare-runtimes-"))

    def chosen(self, name):
        return not self.only or any(part in name for part in self.only)

    @contextlib.contextmanager
    def case(self, name):
        folder = self.folder / name
        folder.mkdir(parents=True)
        case = Case(name, folder)
        start = time.monotonic()
        try:
            yield case
        except Problem as problem:
            case.problems.append(str(problem))
        except Exception:  # A bug in a test is a failed test: the others still run.
            case.problems.append(traceback.format_exc(limit=4).strip())
        self.report(case, time.monotonic() - start)

    def report(self, case, seconds):
        words = "; ".join(case.notes)
        print(f"{'FAIL' if case.problems else 'ok  '} {case.name} ({seconds:.1f} s) {words}", flush=True)
        for problem in case.problems:
            print("     " + problem.replace("\n", "\n     "), flush=True)
        if case.problems:
            self.failed += 1
        else:
            self.passed += 1

    def finish(self):
        """Prints the counts, as the last line, and ends the script."""
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"kept {self.folder}")
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed else 0)


class Problem(Exception):
    """Something the tested program did wrong that ends a case."""


def tare(*arguments, expect=0, cwd=None, usual_limits=False):
    """Runs the converter; anything but the exit code `expect` is a problem. Two bits of random weights keep no limit that is usual for
    models, so those are switched off unless `usual_limits`."""
    command = [TARE, *map(str, arguments)]
    if arguments[0] in ("quantize", "validate") and not usual_limits and "--no-default-limits" not in arguments:
        command.append("--no-default-limits")
    try:
        done = subprocess.run(
            command, cwd=cwd or ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise Problem(f"tare {' '.join(command[1:])}: not finished after {TIMEOUT_SECONDS} s") from None
    if done.returncode != expect:
        said = done.stderr.strip() or done.stdout.strip()
        raise Problem(f"tare {' '.join(command[1:])}: exit code {done.returncode}, expected {expect}\n{said[-1500:]}")
    return done


def session(model, optimize=False, precise=False, optimized_path=None):
    """An ONNX Runtime session of one thread: with all graph optimizations, as is its default, with the "basic" ones, or with none.

    CPUs that lack VNNI add uint8 x int8 products in 16 bits, which saturate. `precise` keeps ONNX Runtime from it, so
    that the numbers do not depend on the CPU that runs the tests.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    level = ort.GraphOptimizationLevel
    levels = {False: level.ORT_DISABLE_ALL, "basic": level.ORT_ENABLE_BASIC, True: level.ORT_ENABLE_ALL}
    options.graph_optimization_level = levels[optimize]
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    if optimized_path:
        options.optimized_model_filepath = str(optimized_path)
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def run(model, samples, **how):
    """Each sample through the model on its own; the outputs by name, samples along the first axis.

    One by one, because that is what a model with a fixed batch of 1 takes.
    """
    running = session(model, **how)
    names = [output.name for output in running.get_outputs()]
    count = len(next(iter(samples.values())))
    rows = [running.run(names, {k: v[i : i + 1] for k, v in samples.items()}) for i in range(count)]
    return {name: np.stack([row[k] for row in rows]) for k, name in enumerate(names)}


def sqnr(reference, found):
    """Signal to quantization noise in dB, over all elements of all samples."""
    reference = np.asarray(reference, np.float64)
    noise = np.sum((reference - np.asarray(found, np.float64)) ** 2)
    if noise == 0:
        return float("inf")
    signal = np.sum(reference**2)
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")


def constants(graph):
    """The values of `graph` that do not depend on its inputs."""
    known = {tensor.name for tensor in graph.initializer}
    # Nodes come in topological order, so one walk finds all.
    for node in graph.node:
        if all(not name or name in known for name in node.input):
            known.update(node.output)
    return known


def graphs(graph):
    """A graph and its bodies."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def float_compute(path, op_types=FLOAT_COMPUTE):
    """Nodes of the model at `path` that multiply constant weights in float."""
    graph = onnx.load(path).graph
    known = constants(graph)
    return [
        f"{node.op_type} {node.name}"
        for node in graph.node
        if node.op_type in op_types and any(name in known for name in node.input[:2])
    ]


def interface(path):
    """Names, types and shapes of what goes into a model and what comes out, in order."""
    graph = onnx.load(path).graph
    initialized = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in initialized]
    return [
        [(value.name, value.type.SerializeToString(deterministic=True)) for value in values]
        for values in (inputs, graph.output)
    ]


def report_outputs(path):
    """SQNR in dB of every output, as the converter's own report states it; infinite where there is no error at all."""
    outputs = json.loads(Path(path).read_text())["validation"]["outputs"]
    return {o["name"]: float("inf") if o["mse"] == 0 else o["sqnr_db"] for o in outputs}


def expect_sqnr(case, original, made, samples, report, least, agreement=0.1, optimized=True):
    """Expects of each output of `made`, as ONNX Runtime computes it with and without optimizations, `least` dB and what the
    report says. Unless `optimized`, the report is held against the run without them alone."""
    expected, stated = run(original, samples), report_outputs(report)
    for optimize in [False, True]:
        for name, found in run(made, samples, optimize=optimize).items():
            measured = sqnr(expected[name], found)
            case.expect(measured >= least, f"{name}: SQNR {measured:.1f} dB, expected {least} or more")
            good = optimize and not optimized or abs(stated[name] - measured) <= agreement
            case.expect(good, f"{name}: the report states {stated[name]:.2f} dB, ONNX Runtime shows {measured:.2f}")
