"""What int8 costs in accuracy and buys in speed, ours beside ONNX Runtime's own quantizer, judged in ONNX Runtime.

Prints one Markdown table, a row for each model and method. SQNR in dB and the task's measure are at ONNX Runtime's defaults;
"precise" is the SQNR with session.x64quantprecision=1, which matters on x86 processors without VNNI. Latency is a share of
the float model's, on one thread. "float compute" counts the Conv, Gemm and MatMul with constant weights that are left in
float after ONNX Runtime's optimisation, of those in the float model. A method that fails says so in its row."""

import sys

import numpy as np

import common
import judge
import processes
import runtime

CALIBRATORS = ["mse", "minmax", "moving_average", "percentile", "entropy"]
METHODS = ["tare", "tare-no-refit", *(f"tare-{name}" for name in CALIBRATORS), "ort-minmax", "ort-percentile"]
COLUMNS = ["model", "method", "SQNR", "precise", "task", "size", "latency", "float compute"]


class Judged:
    """One float model on its test samples."""

    def __init__(self, bench, case, tools):
        self.case, self.tools = case, tools
        self.path = bench.model(case)
        self.arrays = dict(np.load(bench.data(case, "test")))
        self.session = runtime.session(self.path)
        self.outputs = runtime.outputs(self.session, self.arrays)
        self.size = self.path.stat().st_size
        self.compute = sum(runtime.float_compute(self.path).values())
        self.probe = None
        if case.task == "embed":
            self.probe = judge.train_probe(self.session, dict(np.load(bench.data(case, "train"))))

    def sqnr(self, outputs):
        mask = self.arrays.get("attention_mask")
        found = judge.sqnr(self.tools, self.case, self.outputs, outputs, mask)
        return " / ".join(f"{value:.1f}" for value in found.values())

    def row(self, path):
        quantized = runtime.session(path)
        outputs = runtime.outputs(quantized, self.arrays)
        precise = runtime.outputs(runtime.session(path, precise=True), self.arrays)
        task = judge.task(self.tools, self.case, self.session, self.arrays, self.outputs, outputs, self.probe)
        latency = runtime.latency_ratio(self.session, quantized, self.arrays)
        left = runtime.float_compute(path)
        names = "".join(f" {name} {count}" for name, count in sorted(left.items()))
        return [
            self.sqnr(outputs),
            self.sqnr(precise),
            task,
            f"{path.stat().st_size / self.size:.3f}",
            f"{latency:.2f}",
            f"{sum(left.values())} of {self.compute}{names and ':' + names}",
        ]


class Converters:
    """Makes each method's file of one model; what several methods need is made once."""

    def __init__(self, bench, case):
        self.bench, self.case = bench, case
        self.folder = bench.work / "accuracy"
        self.folder.mkdir(exist_ok=True)
        self.statistics = self.prepared = None

    def make(self, method):
        output = self.folder / f"{self.case.name}-{method}.onnx"
        output.unlink(missing_ok=True)
        kind, _, how = method.partition("-")
        if kind == "ort":
            self.peer(how, output)
        elif not how:
            self.bench.tare.quantize(self.bench.policy(self.case), output)
        elif how == "no-refit":
            self.bench.tare.quantize(self.bench.policy(self.case), output, "--no-refit")
        else:
            self.calibrated(how, output)
        return output

    def calibrated(self, calibrator, output):
        policy = self.bench.policy(self.case)
        if self.statistics is None:
            statistics = self.folder / f"{self.case.name}.json"
            self.bench.tare.calibrate(policy, statistics)
            self.statistics = statistics
        self.bench.tare.quantize(policy, output, "--ranges", self.statistics, "--calibrator", calibrator)

    def peer(self, method, output):
        if self.case.carried:
            raise processes.Failed("not measured: the peer's script cannot feed a state")
        if self.prepared is None:
            prepared = self.folder / f"{self.case.name}-prepared.onnx"
            self.bench.peer.prepare(self.bench.model(self.case), prepared)
            self.prepared = prepared
        self.bench.peer.quantize(self.prepared, output, method, self.bench.data(self.case, "calibration"))


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--methods", default=",".join(METHODS), help=f"some of {','.join(METHODS)}")
    options = parser.parse_args()
    methods = options.methods.split(",")
    if unknown := set(methods) - set(METHODS):
        parser.error(f"there is no method {', '.join(sorted(unknown))}")
    bench = common.Bench(options)
    sys.path.insert(0, str(bench.shared / "tools"))
    import compare_models as tools

    common.print_head(COLUMNS)
    for case in bench.cases:
        if bench.model(case) is None:
            common.print_row([case.name, "", f"not measured: there is no {case.file}", *[""] * 5])
            continue
        judged, converters = Judged(bench, case, tools), Converters(bench, case)
        for method in methods:
            try:
                row = judged.row(converters.make(method))
            except processes.Failed as e:
                row = [f"**{e}**", *[""] * 5]
            except Exception as e:  # What ONNX Runtime refuses to load or run is a result, too.
                row = [f"**does not run: {processes.complaint([str(e)])}**", *[""] * 5]
            common.print_row([case.name, method, *row])


if __name__ == "__main__":
    main()
