"""Every model of the onnx package's backend tests, loaded and saved unchanged: the message has to stay the same."""

import os
import subprocess
import warnings
from pathlib import Path

import numpy as np
import onnx
from common import ROOT, Problem, Suite
from net import Net
from onnx.backend.test.loader import DATA_DIR

ROUNDTRIP = os.environ.get("ROUNDTRIP") or str(ROOT / "target/debug/examples/roundtrip")
# Fewer would mean that the collecting below no longer finds what there is.
LEAST = {"shipped": 100, "node": 1500, "model": 20}


def shipped():
    """The models that lie in the package as files, in place."""
    return sorted(Path(DATA_DIR).rglob("*.onnx"))


def generated(collect, folder):
    """The models that the package makes on demand, written to `folder`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The makers' own arithmetic overflows on purpose here and there.
        cases = collect()
    models = {case.name: case.model for case in cases if case.model is not None}
    folder.mkdir()
    paths = []
    for name, model in sorted(models.items()):
        paths.append(folder / f"{name}.onnx")
        paths[-1].write_bytes(model.SerializeToString())
    return paths


def node_models(folder):
    from onnx.backend.test.case.node import collect_testcases

    return generated(lambda: collect_testcases(""), folder)


def other_models(folder):
    from onnx.backend.test.case.model import collect_testcases

    return generated(collect_testcases, folder)


def external(folder):
    """A model whose large tensors lie in a file beside it, small ones and one inside an If among them."""
    net = Net("external")
    x = net.input([8, 8, 8])
    net.output(net.conv(net.conv(x, 8, 32), 32, 4), [4, 8, 8])
    model = net.model()
    branch = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["inside"], ["branch_out"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("branch_out", onnx.TensorProto.FLOAT, [4000])],
        [onnx.numpy_helper.from_array(np.arange(4000, dtype=np.float32), "inside")],
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(onnx.helper.make_node("If", ["yes"], ["chosen"], then_branch=branch, else_branch=branch))
    folder.mkdir()
    path = folder / "external.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=16)
    return [path]


def content(path):
    """The message with external data taken inside, as bytes: unlike a NaN, they are equal to themselves."""
    model = onnx.load(path)
    for tensor in tensors(model.graph):
        # After loading, a tensor that was external says that it is not; one that never was says nothing.
        if tensor.HasField("data_location") and tensor.data_location == onnx.TensorProto.DEFAULT:
            tensor.ClearField("data_location")
    return model.SerializeToString(deterministic=True)


def tensors(graph):
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from tensors(attribute.g)


def check(case, paths, least=1):
    """Sends all of `paths` through one process and compares what comes back."""
    case.expect(len(paths) >= least, f"only {len(paths)} models were found, expected {least} or more")
    saved = case.folder / "saved"
    saved.mkdir()
    # A folder each: models of one name come from many folders, and bring their data files with them.
    pairs = [(path, saved / str(number) / "model.onnx") for number, path in enumerate(paths)]
    for _, target in pairs:
        target.parent.mkdir()
    listing = case.folder / "list"
    listing.write_text("".join(f"{path}\t{target}\n" for path, target in pairs))
    done = subprocess.run([ROUNDTRIP, str(listing)], capture_output=True, text=True, timeout=120)
    for line in done.stderr.splitlines()[:20]:
        case.expect(False, line)
    equal = 0
    for path, target in pairs:
        if not target.exists():
            case.expect(done.stderr, f"{path} was not saved, and nothing was said")
        elif case.expect(content(path) == content(target), f"{path} came back different"):
            equal += 1
    case.note(f"{equal} of {len(paths)} models equal")
    if done.returncode != 0 and not done.stderr:
        raise Problem(f"exit code {done.returncode} without a message")


def main():
    suite = Suite()
    with suite.case("shipped_models") as case:
        check(case, shipped(), LEAST["shipped"])
    with suite.case("node_models") as case:
        check(case, node_models(case.folder / "made"), LEAST["node"])
    with suite.case("other_models") as case:
        check(case, other_models(case.folder / "made"), LEAST["model"])
    with suite.case("external_data") as case:
        paths = external(case.folder / "made")
        check(case, paths)
        data = list((case.folder / "saved/0").glob("*.data"))
        case.expect(data, "the data did not stay in a file beside the model")
    suite.finish()


main()
