"""Which calibrator, which symmetry, which histogram: SQNR in dB by tare's own report, for choosing defaults.

Prints one Markdown table, a row for each model, symmetry and histogram, a column for each calibrator. The figure is that of
the first output that the two models do not have alike, on 20 test samples. A histogram of half the bins is made of the saved statistics: bins merge in
pairs without loss. For a finer one, build with a larger HALF in src/calibrate/histogram.rs, name that binary in TARE, and
merge as often as wanted."""

import json

import accuracy
import common
import processes

SYMMETRIES = {"asymmetric": "", "symmetric": "activations: { symmetric: true }\n"}


def merged(statistics, times, output):
    """Saved statistics with the bins of every histogram merged in pairs so many times."""
    saved = json.loads(statistics.read_text())
    for value in saved["values"].values():
        for octave in value["octaves"].values():
            for numbers in filter(None, [octave, octave.get("outliers")]):
                bins = {}
                for place, count in numbers["bins"]:
                    bins[place >> times] = bins.get(place >> times, 0) + count
                numbers["bins"] = sorted(bins.items())
        value["bin_width_log2"] += times
    output.write_text(json.dumps(saved))
    return output


def sqnr(bench, policy, statistics, calibrator, folder):
    report = folder / "report.json"
    flags = ["--ranges", statistics, "--calibrator", calibrator, "--report", report]
    try:
        bench.tare.quantize(policy, folder / "made.onnx", *flags)
    except processes.Failed as e:
        return f"**{e}**"
    validation = json.loads(report.read_text())["validation"]
    # An output that the two models have alike (tokens handed through) has no SQNR.
    figures = [output["sqnr_db"] for output in validation["outputs"] if output["sqnr_db"] is not None] if validation else []
    return f"{figures[0]:.1f}" if figures else "none"


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--merge", default="0", help="how often to halve the bins, as 0,1,2")
    parser.add_argument("--calibrators", default=",".join(accuracy.CALIBRATORS), help="some of the calibrators")
    parser.add_argument("--symmetries", default=",".join(SYMMETRIES), help=f"some of {','.join(SYMMETRIES)}")
    options = parser.parse_args()
    bench = common.Bench(options)
    calibrators = options.calibrators.split(",")
    folder = bench.work / "calibrators"
    folder.mkdir(exist_ok=True)
    common.print_head(["model", "activations", "bins halved", *calibrators])
    for case in bench.cases:
        if bench.model(case) is None:
            common.print_row([case.name, f"not measured: there is no {case.file}", "", *[""] * len(calibrators)])
            continue
        statistics = folder / f"{case.name}.json"
        try:
            bench.tare.calibrate(bench.policy(case), statistics)
        except processes.Failed as e:
            common.print_row([case.name, f"**{e}**", "", *[""] * len(calibrators)])
            continue
        for symmetry in options.symmetries.split(","):
            for times in map(int, options.merge.split(",")):
                coarse = merged(statistics, times, folder / "merged.json") if times else statistics
                policy = bench.policy(case, SYMMETRIES[symmetry])
                cells = [sqnr(bench, policy, coarse, calibrator, folder) for calibrator in calibrators]
                common.print_row([case.name, symmetry, f"{times} times", *cells])


if __name__ == "__main__":
    main()
