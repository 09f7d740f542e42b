"""What each repair buys: SQNR in dB in ONNX Runtime, with all of them off, one alone, those of the defaults, and these with weights
rounded by what their layers make.

Prints one Markdown table, a row for each model and type of weights, on test samples that calibrated nothing."""

import sys

import accuracy
import common
import processes
import runtime

OFF = {"refit": "false", "smooth": "false", "equalize": "false", "activation_error": "false"}
ROUNDED = {"rounding": "learned", "rounding_seconds": "300"}
COLUMNS = {
    "none": OFF,
    "equalize": OFF | {"equalize": "true"},
    "smooth": OFF | {"smooth": "true"},
    "activation_error": OFF | {"activation_error": "true"},
    "analytic": OFF | {"bias_correction": "analytic"},
    "empirical": OFF | {"bias_correction": "empirical"},
    "absorb": OFF | {"equalize": "true", "absorb": "true"},
    "refit": OFF | {"refit": "true"},
    "joint": OFF | {"reconstruct": "true"},
    "gptq": OFF | ROUNDED | {"rounding": "gptq"},
    "learned": OFF | ROUNDED,
    "defaults": {},
    "defaults, joint": {"reconstruct": "true"},
    "defaults, learned": ROUNDED,
}


def sqnr(bench, judged, weights, repairs):
    made = bench.work / "repairs" / f"{judged.case.name}.onnx"
    text = f"weights: {{ type: {weights} }}\n"
    if repairs:
        text += "repairs: { " + ", ".join(f"{key}: {value}" for key, value in repairs.items()) + " }\n"
    try:
        bench.tare.quantize(bench.policy(judged.case, text), made, "--no-validation")
    except processes.Failed as e:
        return f"**{e}**"
    return judged.sqnr(runtime.outputs(runtime.session(made), judged.arrays))


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--weights", default="int8,int4", help="types of weights")
    parser.add_argument("--repairs", default=";".join(COLUMNS), help=f"some of {';'.join(COLUMNS)}")
    options = parser.parse_args()
    bench = common.Bench(options)
    (bench.work / "repairs").mkdir(exist_ok=True)
    columns = options.repairs.split(";")
    sys.path.insert(0, str(bench.shared / "tools"))
    import compare_models as tools

    common.print_head(["model", "weights", *columns])
    for case in bench.cases:
        if bench.model(case) is None:
            common.print_row([case.name, f"not measured: there is no {case.file}", *[""] * len(columns)])
            continue
        judged = accuracy.Judged(bench, case, tools)
        for weights in options.weights.split(","):
            cells = [sqnr(bench, judged, weights, COLUMNS[column]) for column in columns]
            common.print_row([case.name, weights, *cells])


if __name__ == "__main__":
    main()
