"""What a conversion costs as a whole process, ours beside ONNX Runtime's own quantizer on the same samples.

Prints one Markdown table: seconds of processor and wall time and the peak of resident memory, and processor time and memory
as shares of the peer's. Both calibrate on all samples and write; the rows with validation also run the written and the
original model on 20 other samples, which the peer does not do. The peer's preparation of the model (prep) is listed apart
and not in the shares. The peer's percentile may take at most 8 GiB."""

import common
import processes

# Our calibrator and the peer's method that it is held against.
AGAINST = {"minmax": "minmax", "mse": "percentile", "percentile": "percentile", "entropy": "percentile"}
PEER = ["prep", "minmax", "percentile"]
COLUMNS = ["model", "method", "CPU s", "wall s", "peak MB", "CPU, share", "memory, share"]


def measured(work, repetitions):
    """The cheapest of several runs, or what went wrong."""
    try:
        return min((work() for _ in range(repetitions)), key=lambda cost: cost.cpu)
    except processes.Failed as e:
        return e


def show(case, method, cost, peer=None):
    if isinstance(cost, processes.Failed):
        common.print_row([case.name, method, f"**{cost}**", "", "", "", ""])
        return
    shares = ["", ""]
    if isinstance(peer, processes.Cost):
        shares = [f"{cost.cpu / peer.cpu:.2f}", f"{cost.peak / peer.peak:.3f}"]
    common.print_row([case.name, method, f"{cost.cpu:.2f}", f"{cost.wall:.2f}", f"{cost.peak / 1e6:.0f}", *shares])


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=1, help="runs of each; the cheapest counts")
    parser.add_argument("--calibrators", default=",".join(AGAINST), help=f"some of {','.join(AGAINST)}")
    options = parser.parse_args()
    bench = common.Bench(options)
    folder = bench.work / "cost"
    folder.mkdir(exist_ok=True)
    common.print_head(COLUMNS)
    for case in bench.cases:
        model = bench.model(case)
        if model is None:
            common.print_row([case.name, "", f"not measured: there is no {case.file}", *[""] * 4])
            continue
        prepared, output = folder / f"{case.name}-prepared.onnx", folder / f"{case.name}.onnx"
        data, policy = bench.data(case, "calibration"), bench.policy(case)
        peers = {}
        for method in PEER:
            if case.carried:
                peers[method] = processes.Failed("not measured: the peer's script cannot feed a state")
            elif method == "prep":
                peers[method] = measured(lambda: bench.peer.prepare(model, prepared), options.repetitions)
            else:
                run = lambda: bench.peer.quantize(prepared, output, method, data)
                peers[method] = measured(run, options.repetitions)
            show(case, f"ort {method}", peers[method])
        for calibrator in options.calibrators.split(","):
            for validation, flags in {"": ["--no-validation"], ", without refit": ["--no-validation", "--no-refit"], ", with validation": []}.items():
                run = lambda: bench.tare.quantize(policy, output, "--calibrator", calibrator, *flags)
                cost = measured(run, options.repetitions)
                show(case, f"tare {calibrator}{validation}", cost, peers[AGAINST[calibrator]])


if __name__ == "__main__":
    main()
