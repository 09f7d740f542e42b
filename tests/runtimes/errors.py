"""What goes wrong in a user's hands: exit code 2, one clear line that starts with `error:`, and nothing written."""

import os

import numpy as np
import onnx
from common import Suite, tare
from net import Net
from PIL import Image


class Bench:
    """A model, samples and pictures that work, for each test to break one of them."""

    def __init__(self, folder):
        self.folder = folder
        net = Net("errors")
        x = net.input([3, 8, 8])
        net.output(net.conv(net.node("Relu", net.conv(x, 3, 4)), 4, 2), [2, 8, 8])
        self.model = folder / "model.onnx"
        onnx.save(net.model(), self.model)
        self.samples = net.samples(10)
        self.data = folder / "data.npz"
        np.savez(self.data, **self.samples)
        self.out = folder / "out" / "int8.onnx"
        self.out.parent.mkdir()

    def pictures(self):
        folder = self.folder / "pictures"
        folder.mkdir()
        random = np.random.default_rng(1)
        for number in range(5):
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
        return folder

    def quantize(self, model=None, data=None, out=None, more=()):
        return ["quantize", model or self.model, "--data", data or self.data, "-o", out or self.out, *more]


def fails(case, bench, arguments, *words):
    """Runs and expects an error whose message has all of `words`."""
    said = tare(*arguments, expect=2).stderr
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:")]
    case.expect(len(errors) == 1, f"{len(errors)} lines start with error: instead of one\n{said}")
    # Progress may come before; an error is the last word.
    case.expect(lines and lines[-1] in errors, f"the error is not the last line\n{said}")
    case.expect("panicked" not in said and "RUST_BACKTRACE" not in said, f"it panicked\n{said}")
    for word in words:
        case.expect(word in said, f"the message does not say {word!r}: {said.strip()}")
    left = sorted(path.name for path in bench.out.parent.iterdir()) if bench.out.parent.exists() else []
    case.expect(not left, f"something was written: {left}")
    case.note((errors or lines or ["nothing said"])[0])


def nothing_is_broken(case, bench):
    """The bench itself has to work, or the tests below would find errors of its own."""
    tare(*bench.quantize())
    case.expect(bench.out.exists(), "no model was written")


def truncated_model(case, bench):
    for share in (0.3, 0.9):
        whole = bench.model.read_bytes()
        cut = bench.folder / f"cut_{share}.onnx"
        cut.write_bytes(whole[: int(len(whole) * share)])
        fails(case, bench, bench.quantize(model=cut), cut.name)


def empty_model(case, bench):
    empty = bench.folder / "empty.onnx"
    empty.touch()
    fails(case, bench, bench.quantize(model=empty), "empty.onnx", "empty")


def not_a_model(case, bench):
    text = bench.folder / "text.onnx"
    text.write_text("This is not a model, however long one looks at it.\n" * 50)
    fails(case, bench, bench.quantize(model=text), "text.onnx")
    noise = bench.folder / "noise.onnx"
    noise.write_bytes(np.random.default_rng(2).bytes(5000))
    fails(case, bench, bench.quantize(model=noise), "noise.onnx")
    picture = bench.pictures() / "0.png"
    fails(case, bench, bench.quantize(model=picture), "0.png")


def missing_model(case, bench):
    fails(case, bench, bench.quantize(model=bench.folder / "nowhere.onnx"), "nowhere.onnx")
    fails(case, bench, ["inspect", bench.folder / "nowhere.onnx"], "nowhere.onnx")


def missing_data(case, bench):
    fails(case, bench, bench.quantize(data=bench.folder / "nowhere.npz"), "nowhere.npz")
    bare = bench.folder / "bare"
    bare.mkdir()
    fails(case, bench, bench.quantize(data=bare), "bare")


def missing_external_data(case, bench):
    model = bench.folder / "external.onnx"
    onnx.save(onnx.load(bench.model), model, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (bench.folder / "weights.bin").unlink()
    fails(case, bench, bench.quantize(model=model), "external.onnx", "weights.bin")


def malformed_graph(case, bench):
    """A model that parses but makes no sense: a node reads a value that nobody makes."""
    model = onnx.load(bench.model)
    model.graph.node[1].input[0] = "nobody_makes_this"
    path = bench.folder / "dangling.onnx"
    path.write_bytes(model.SerializeToString())
    fails(case, bench, bench.quantize(model=path), "nobody_makes_this")


def policy_with_a_wrong_key(case, bench):
    policy = bench.folder / "policy.yaml"
    policy.write_text("version: 1\nweights:\n  granularty: per_tensor\n")
    more = ["-c", policy]
    fails(case, bench, bench.quantize(more=more), "policy.yaml:3", "granularty", "granularity")


def policy_with_a_wrong_value(case, bench):
    policy = bench.folder / "policy.yaml"
    policy.write_text("version: 1\nactivations: { calibrator: minimax }\n")
    more = ["-c", policy]
    fails(case, bench, bench.quantize(more=more), "policy.yaml:2", "minimax", "minmax")


def policy_that_is_not_yaml(case, bench):
    policy = bench.folder / "policy.yaml"
    policy.write_text("version: 1\nweights: [unfinished\n")
    fails(case, bench, bench.quantize(more=["-c", policy]), "policy.yaml:")


def policy_rule_that_matches_nothing(case, bench):
    policy = bench.folder / "policy.yaml"
    policy.write_text("version: 1\nrules:\n  - match: { node: conv_9 }\n    quantize: false\n")
    fails(case, bench, bench.quantize(more=["-c", policy]), "policy.yaml:3", "conv_9", "conv_0")


def policy_missing(case, bench):
    fails(case, bench, ["quantize", "-c", bench.folder / "nowhere.yaml"], "nowhere.yaml")


def corrupt_picture(case, bench):
    folder = bench.pictures()
    whole = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(whole[: len(whole) // 2])
    fails(case, bench, bench.quantize(data=folder), "3.png")
    (folder / "3.png").write_bytes(b"")
    fails(case, bench, bench.quantize(data=folder), "3.png")


def wrong_shape(case, bench):
    np.savez(bench.data, x=np.zeros((10, 3, 9, 8), np.float32))
    fails(case, bench, bench.quantize(), "data.npz", '"x"', "9")


def wrong_name(case, bench):
    np.savez(bench.data, y=np.zeros((10, 3, 8, 8), np.float32), z=np.zeros((10, 3, 8, 8), np.float32))
    fails(case, bench, bench.quantize(), "data.npz", '"x"')


def truncated_data(case, bench):
    whole = bench.data.read_bytes()
    bench.data.write_bytes(whole[: len(whole) // 2])
    fails(case, bench, bench.quantize(), "data.npz")


def not_a_number(case, bench):
    not_a_number_in(case, bench, 3)


def not_a_number_held_back(case, bench):
    """Every fifth sample is held back: it does not calibrate but validates, and what it says would be worthless."""
    not_a_number_in(case, bench, 4)


def not_a_number_in(case, bench, row):
    bench.samples["x"][row, 1, 1, 1] = np.nan
    np.savez(bench.data, **bench.samples)
    fails(case, bench, bench.quantize(), f"data.npz[{row}]", '"x"')


def blocked_folder(bench):
    """A file in the place of a folder stops even the superuser, whom permissions do not."""
    blocked = bench.folder / "blocked"
    blocked.write_text("a file")
    return blocked


def output_folder_is_made(case, bench):
    out = bench.folder / "not" / "yet" / "int8.onnx"
    tare(*bench.quantize(out=out))
    case.expect(out.exists(), "no model was written")


def unwritable_output(case, bench):
    fails(case, bench, bench.quantize(out=blocked_folder(bench) / "int8.onnx"), "blocked")
    if os.geteuid() != 0:
        bench.out.parent.chmod(0o500)
        fails(case, bench, bench.quantize(), "int8.onnx")
        bench.out.parent.chmod(0o700)


def output_is_a_folder(case, bench):
    folder = bench.folder / "folder.onnx"
    folder.mkdir()
    fails(case, bench, bench.quantize(out=folder), "folder.onnx")


def unwritable_report(case, bench):
    """Found before the work, not after it: no model either."""
    report = blocked_folder(bench) / "report.json"
    fails(case, bench, bench.quantize(more=["--report", report]), "blocked")


def nothing_to_quantize_with(case, bench):
    fails(case, bench, ["quantize", bench.model, "-o", bench.out], "--data")


def an_output_is_kept(case, bench):
    """What stood at the output path survives a failure."""
    bench.out.write_text("precious")
    np.savez(bench.data, x=np.zeros((10, 3, 9, 8), np.float32))
    said = tare(*bench.quantize(), expect=2).stderr
    case.expect(bench.out.read_text() == "precious", f"what was there is gone\n{said}")
    case.expect(len(list(bench.out.parent.iterdir())) == 1, "something was left beside it")


def a_threshold_missed(case, bench):
    """Exit code 1 is kept for it. The model is written: it is valid, and one may want to look at it."""
    policy = bench.folder / "policy.yaml"
    policy.write_text("version: 1\nthresholds: { sqnr_db: 150 }\n")
    said = tare(*bench.quantize(more=["-c", policy]), expect=1)
    case.expect("sqnr" in (said.stdout + said.stderr).lower(), "nothing says which threshold was missed")


def quiet_is_quiet(case, bench):
    said = tare(*bench.quantize(more=["-q"]))
    case.expect(not said.stdout and not said.stderr, f"-q printed something\n{said.stdout}{said.stderr}")


TESTS = [
    nothing_is_broken,
    truncated_model,
    empty_model,
    not_a_model,
    missing_model,
    missing_data,
    missing_external_data,
    malformed_graph,
    policy_with_a_wrong_key,
    policy_with_a_wrong_value,
    policy_that_is_not_yaml,
    policy_rule_that_matches_nothing,
    policy_missing,
    corrupt_picture,
    wrong_shape,
    wrong_name,
    truncated_data,
    not_a_number,
    not_a_number_held_back,
    output_folder_is_made,
    unwritable_output,
    output_is_a_folder,
    unwritable_report,
    nothing_to_quantize_with,
    an_output_is_kept,
    a_threshold_missed,
    quiet_is_quiet,
]


def main():
    suite = Suite()
    for test in TESTS:
        if suite.chosen(test.__name__):
            with suite.case(test.__name__) as case:
                test(case, Bench(case.folder))
    suite.finish()


main()
