"""Whether ONNX Runtime runs what `tare quantize` writes, and how far the engine of validation is from it.

Prints one Markdown table, a row for each model, of the file that a conversion with defaults writes. "runs" names the
optimisation levels at which ONNX Runtime loads it and puts out finite numbers. "float compute" counts the Conv, Gemm and
MatMul with constant weights that stay in float after ONNX Runtime's optimisation, of those in the float model.

The other columns measure in steps, element by element, how far the engine of validation is from ONNX Runtime at DISABLE_ALL.
The step of an output is the scale of the DequantizeLinear that it comes straight from; where computation in float lies
between, it is the output's range on these samples / 255, and the column "step" says so. The columns "layers" give ONNX
Runtime the quantized values that the other engine found as inputs of every layer, so that nothing adds up from one to the
next; what still differs is listed on stderr. The columns "ALL" hold ONNX Runtime at ALL, with exact integer sums, against
itself at DISABLE_ALL."""

import sys

import numpy as np
import onnx

import catalogue
import common
import layers
import processes
import runtime

COLUMNS = [
    "model", "runs", "float compute", "step", "largest", "> 1/2 step", "> 1 step",
    "layers", "layers: largest", "layers: differ", "layers: outputs", "ALL: largest", "ALL: > 1 step",
]  # fmt: skip


class Quantized:
    """What tare makes of one model, with some test samples and what ONNX Runtime at DISABLE_ALL makes of them."""

    def __init__(self, bench, case, count):
        self.bench, self.original = bench, bench.model(case)
        self.stem = bench.work / "agreement" / case.name
        self.stem.parent.mkdir(exist_ok=True)
        # Not with_suffix: names have dots.
        self.path = self.stem.with_name(f"{case.name}.onnx")
        self.path.unlink(missing_ok=True)
        bench.tare.quantize(bench.policy(case), self.path)
        self.model = onnx.load(self.path)
        arrays = np.load(bench.data(case, "test"))
        self.arrays = {value.name: catalogue.some(arrays[value.name], count) for value in self.model.graph.input}
        self.expected = None

    def runs(self):
        """The levels at which the model runs, and what happens at the others."""
        fine, bad = [], []
        for level in runtime.LEVELS:
            try:
                found = runtime.outputs(runtime.session(self.path, level=level), self.arrays)
            except Exception as e:  # What ONNX Runtime refuses is a result.
                bad.append(f"**{level}: {processes.complaint([str(e)])}**")
                continue
            if level == "DISABLE_ALL":
                self.expected = found
            if all(np.isfinite(output).all() for output in found.values()):
                fine.append(level)
            else:
                bad.append(f"**{level}: not finite**")
        return ", ".join(["all levels" if not bad else " ".join(fine), *bad])

    def compute(self):
        left, before = (runtime.float_compute(path) for path in (self.path, self.original))
        names = "".join(f" {name} {count}" for name, count in sorted(left.items()))
        return f"{sum(left.values())} of {sum(before.values())}{names and ':' + names}"

    def apart(self, found, against, scales):
        """How far each output is from what it is held against, in steps."""
        every = []
        for name, expected in against.items():
            step = scales[name] or float(np.ptp(self.expected[name])) / 255
            off = [np.ravel(np.asarray(a, np.float64) - b) for a, b in zip(expected, found[name], strict=True)]
            every.append(np.abs(np.concatenate(off)) / (step or 1))
        return every

    def row(self):
        runs, compute = self.runs(), self.compute()
        if self.expected is None:
            return [runs, compute]
        scales = {name: layers.scale(self.model, name) for name in self.expected}
        ours = layers.engine(self.bench, self.path, self.arrays, self.stem)
        whole = self.apart(ours, self.expected, scales)
        values, outputs = layers.compare(self.bench, self.model, self.arrays, self.stem)
        for value in values:
            if value.differ:
                print(f"{self.stem.name}: {value}", file=sys.stderr)
        off = sum(v.differ for v in values) / max(1, sum(v.elements for v in values))
        best = runtime.outputs(runtime.session(self.path, precise=True), self.arrays)
        best = self.apart(best, self.expected, scales)
        columns = [
            [f"scale {scale:.3g}" if scale else "range / 255" for scale in scales.values()],
            [f"{x.max():.3g}" for x in whole],
            [share(x > 0.501) for x in whole],  # A difference of exactly half a step is not more.
            [share(x > 1.001) for x in whole],
            [str(len(values))],
            [str(max((v.largest for v in values), default=0))],
            [f"{100 * off:.1g} %"],
            [f"{x.max():.3g}" for x in self.apart(ours, {name: outputs[name] for name in scales}, scales)],
            [f"{x.max():.3g}" for x in best],
            [share(x > 1.001) for x in best],
        ]
        return [runs, compute, *(" / ".join(column) for column in columns)]


def share(where):
    return f"{100 * where.mean():.2g} %"


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--samples", type=int, default=5, help="how many test samples to run (default: 5)")
    options = parser.parse_args()
    bench = common.Bench(options)
    common.print_head(COLUMNS)
    for case in bench.cases:
        if bench.model(case) is None:
            cells = [f"not measured: there is no {case.file}"]
        else:
            try:
                cells = Quantized(bench, case, options.samples).row()
            except processes.Failed as e:
                cells = [f"**{e}**"]
        common.print_row([case.name, *cells, *[""] * (len(COLUMNS) - 1 - len(cells))])


if __name__ == "__main__":
    main()
