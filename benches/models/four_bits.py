"""What ranges, factors and rounding win back of weights that are stored in 4 bits.

Prints one Markdown table: for each model, and for MiniLM-L3 with its tables of words in 4 bits, in 8 and in float, a row for
each way to store the weights of layers, asymmetric and in blocks of 32. Judged in ONNX Runtime on samples that calibrated nothing.
The last column says how much of the noise of the outputs is gone that rounding to nearest with `least_error` leaves. Of
MiniLM-L3 outputs are hidden states and their mean; in its last rows, samples that calibrate are of several sentences each."""

import sys

import numpy as np

import common
import judge
import processes
import runtime

MODELS = ["minilm_l3", "efficientnet_lite0", "cifar10_mbv1_bnfolded"]
COLUMNS = ["model", "tables", "weights of layers", "SQNR, dB", "task", "noise gone"]
# Sentences in a sample, for what is fitted to more positions than a sentence has.
TOGETHER = 16
NEAREST = "nearest, least_error"
# The range, whether channels are scaled, and how integers are found.
WAYS = {
    NEAREST: ("least_error", False, "nearest"),
    "nearest, minmax": ("minmax", False, "nearest"),
    "nearest, hqq": ("hqq", False, "nearest"),
    "AWQ": ("least_error", True, "nearest"),
    "AWQ, hqq": ("hqq", True, "nearest"),
    "gptq": ("least_error", False, "gptq"),
    "gptq, hqq": ("hqq", False, "gptq"),
    "learned": ("least_error", False, "learned"),
    "AWQ, gptq": ("least_error", True, "gptq"),
    "AWQ, learned": ("least_error", True, "learned"),
}
FITTED = [NEAREST, "AWQ", "gptq", "learned", "AWQ, gptq", "AWQ, learned"]
TABLES = {
    "int4": "",
    "int8": "rules:\n- { match: { op_type: Gather }, weights: { type: int8, range: least_error } }\n",
    "float": "rules:\n- { match: { op_type: Gather }, quantize: false }\n",
}


def policy(way, tables):
    reach, awq, rounding = WAYS[way]
    repairs = f"repairs: {{ awq: {str(awq).lower()}, rounding: {rounding} }}\n"
    return f"mode: weight-only\nweights: {{ type: int4, range: {reach} }}\n{repairs}{TABLES[tables]}"


def measured(tools, case, expected, arrays, output):
    """SQNR of each output, and what is left of the task; of embeddings, their means."""
    made = runtime.outputs(runtime.session(output), arrays)
    found = list(judge.sqnr(tools, case, expected, made, arrays.get("attention_mask")).values())
    if case.task != "embed":
        return found, judge.task(tools, case, None, arrays, expected, made, None)
    means = [judge.pooled(outputs, arrays) for outputs in (expected, made)]
    pooled = tools.err(*means)["sqnr_db"]
    # The model's own second output is the mean.
    return [found[0], pooled], ""


def together(bench, case):
    """A thousand sentences, several in a sample."""
    path = bench.work / f"{case.name}-together.npz"
    arrays = {key: array for key, array in np.load(bench.data(case, "train")).items() if not key.startswith("__")}
    samples = min(map(len, arrays.values())) // TOGETHER
    np.savez(path, **{key: a[: samples * TOGETHER].reshape(samples, TOGETHER, *a.shape[1:]) for key, a in arrays.items()})
    return path


def settings(bench, case):
    """Each way to store what tables and layers have, with the samples that calibrate: what to call the tables, and what is asked."""
    if case.task != "embed":
        yield from (("", way, policy(way, "int4"), bench.data(case, "calibration")) for way in WAYS)
        return
    for tables in TABLES:
        yield from ((tables, way, policy(way, tables), bench.data(case, "calibration")) for way in WAYS)
    packed = together(bench, case)
    yield from ((f"float, {TOGETHER} sentences in a sample", way, policy(way, "float"), packed) for way in FITTED)


def main():
    options = common.arguments(__doc__).parse_args()
    options.names = options.names or MODELS
    bench = common.Bench(options)
    sys.path.insert(0, str(bench.shared / "tools"))
    import compare_models as tools

    folder = bench.work / "four-bits"
    folder.mkdir(exist_ok=True)
    common.print_head(COLUMNS)
    for case in bench.cases:
        model = bench.model(case)
        if model is None:
            common.print_row([case.name, f"not measured: there is no {case.file}", *[""] * 4])
            continue
        arrays = dict(np.load(bench.data(case, "test")))
        expected = runtime.outputs(runtime.session(model), arrays)
        nearest = None
        for tables, way, asked, calibration in settings(bench, case):
            output = folder / f"{case.name}.onnx"
            try:
                bench.tare.quantize(bench.tare.policy(case, model, calibration, bench.data(case, "test"), asked), output)
            except processes.Failed as e:
                common.print_row([case.name, tables, way, f"**{e}**", "", ""])
                continue
            figures, task = measured(tools, case, expected, arrays, output)
            # It comes first.
            nearest = figures if way == NEAREST else nearest
            gone = [f"{100 * (1 - 10 ** ((a - b) / 10)):.0f} %" for a, b in zip(nearest, figures)]
            shown = " / ".join(f"{one:.1f}" for one in figures)
            common.print_row([case.name, tables, way, shown, task, " / ".join(gone)])


if __name__ == "__main__":
    main()
