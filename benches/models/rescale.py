"""Writes a model that says the same in float and is hard to quantize: channels are scaled up before a Relu and down behind it.

    rescale.py IN.onnx OUT.onnx [--octaves 4] [--seed 1] [--every 1] [--keep-relu6]

Every Conv whose output only a Relu reads, which only Convs read, gets factors for its channels; the Convs behind get their
reciprocals. All are powers of two between 2^-octaves and 2^octaves, evenly drawn, so that no number of the float model changes
but for its exponent, and the outputs are the same bit for bit. On one grid for a whole weight or activation, small channels are
then lost.

A Clip from 0 to 6 would not let factors pass: it becomes a Relu first, as data-free quantization (Nagel et al. 2019) does it, which
is another float model. Compare with that one: --octaves 0 writes it.
"""

import argparse

import numpy as np
import onnx
from onnx import numpy_helper


def constants(graph):
    """The constants by name, and the nodes that hold some."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            held = [a for a in node.attribute if a.name == "value"]
            found.update({node.output[0]: numpy_helper.to_array(a.t) for a in held})
    return found


def unclip(graph):
    """Makes a Relu of each Clip from 0 to 6."""
    known = constants(graph)
    for node in graph.node:
        if node.op_type == "Clip" and [float(known[name]) for name in node.input[1:]] == [0.0, 6.0]:
            node.op_type = "Relu"
            del node.input[1:]
            del node.attribute[:]
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    spare = [node for node in graph.node if node.op_type == "Constant" and node.output[0] not in used]
    for node in spare:
        graph.node.remove(node)


def attribute(node, name, default):
    return next((a.i for a in node.attribute if a.name == name), default)


def rescale(graph, octaves, seed, every):
    """Scales channels across each Relu that can be, or every so many of them; returns across how many."""
    rng = np.random.default_rng(seed)
    known, changed, found, across = constants(graph), {}, 0, 0
    readers = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {output.name for output in graph.output}
    for layer in graph.node:
        if layer.op_type != "Conv" or layer.output[0] in outputs:
            continue
        behind = readers.get(layer.output[0], [])
        if [node.op_type for node in behind] != ["Relu"] or behind[0].output[0] in outputs:
            continue
        after = readers.get(behind[0].output[0], [])
        if not after or any(node.op_type != "Conv" or node.input[0] != behind[0].output[0] for node in after):
            continue
        shared = [name for node in [layer, *after] for name in node.input[1:] if len(readers[name]) > 1]
        groups = [attribute(node, "group", 1) for node in after]
        channels = known[layer.input[1]].shape[0]
        if shared or any(group not in (1, channels) for group in groups):
            continue
        found += 1
        if found % every > 0:
            continue
        factors = np.exp2(rng.integers(-octaves, octaves + 1, channels)).astype(np.float32)
        for name in layer.input[1:]:
            shape = [-1] + [1] * (known[name].ndim - 1)
            known[name] = changed[name] = known[name] * factors.reshape(shape)
        for node, group in zip(after, groups):
            name = node.input[1]
            # Of a depthwise weight the channels are the first axis, and there is one of input each.
            shape = [-1, 1, 1, 1] if group > 1 else [1, -1, 1, 1]
            known[name] = changed[name] = known[name] / factors.reshape(shape)
        across += 1
    for tensor in graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name], tensor.name))
    for node in graph.node:
        for a in node.attribute:
            if node.op_type == "Constant" and node.output[0] in changed:
                a.t.CopyFrom(numpy_helper.from_array(changed[node.output[0]], a.t.name))
    return across


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--octaves", type=int, default=4, help="the largest factor is 2 to this power (default: 4)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="only across every so many of the Relus that can be (default: 1, all)")
    parser.add_argument("--keep-relu6", action="store_true", help="leave Clip as it is: nothing is scaled across it")
    options = parser.parse_args()
    model = onnx.load(options.source)
    if not options.keep_relu6:
        unclip(model.graph)
    across = rescale(model.graph, options.octaves, options.seed, options.every)
    onnx.save(model, options.target)
    print(f"channels rescaled across {across} Relu -> {options.target}")


if __name__ == "__main__":
    main()
