"""Models of sequences: tables that are looked up in, attention with masks, normalizations spelled out."""

import numpy as np
from catalogue import entry
from onnx import TensorProto

WIDTH, LENGTH, WORDS = 32, 6, 50


def tables_are_integers(case, _, quantized):
    """Every table that is looked up in is stored as int8, once."""
    stored = {tensor.name: tensor for tensor in quantized.graph.initializer}
    tables = [node.input[0] for node in quantized.graph.node if node.op_type == "Gather" and node.input[0] in stored]
    case.expect(tables, "no table is looked up in")
    for name in tables:
        case.expect(stored[name].data_type == TensorProto.INT8, f"the table {name} is not int8")
    sizes = sorted(t.dims[0] for t in quantized.graph.initializer if len(t.dims) == 2 and t.dims[1] == WIDTH)
    case.expect(sizes.count(WORDS) == 1, f"tables of {sizes} rows are stored")


def layer_norm(net, x):
    centred = net.node("Sub", x, net.node("ReduceMean", x, axes=[-1]))
    variance = net.node("ReduceMean", net.node("Pow", centred, net.constant(2.0)), axes=[-1])
    x = net.node("Div", centred, net.node("Sqrt", net.node("Add", variance, net.constant(1e-5))))
    x = net.node("Mul", x, net.constant(net.bias(WIDTH) + 1))
    return net.node("Add", x, net.constant(net.bias(WIDTH)))


def linear(net, x, columns_in, columns_out):
    x = net.node("MatMul", x, net.constant(net.weights(columns_in, columns_out, fan_in=2 * columns_in)))
    return net.node("Add", net.constant(net.bias(columns_out)), x)


def gelu(net, x):
    error = net.node("Add", net.node("Erf", net.node("Div", x, net.constant(2**0.5))), net.constant(1.0))
    return net.node("Mul", net.node("Mul", x, error), net.constant(0.5))


def heads(net, x, perm):
    return net.node("Transpose", net.node("Reshape", x, net.ints(0, LENGTH, 4, WIDTH // 4)), perm=perm)


def attention(net, x, mask):
    q = heads(net, linear(net, x, WIDTH, WIDTH), [0, 2, 1, 3])
    k = heads(net, linear(net, x, WIDTH, WIDTH), [0, 2, 3, 1])
    v = heads(net, linear(net, x, WIDTH, WIDTH), [0, 2, 1, 3])
    scores = net.node("Div", net.node("MatMul", q, k), net.constant((WIDTH / 4) ** 0.5))
    weights = net.node("Softmax", net.node("Add", scores, mask), axis=-1)
    x = net.node("Transpose", net.node("MatMul", weights, v), perm=[0, 2, 1, 3])
    return linear(net, net.node("Reshape", x, net.ints(0, LENGTH, WIDTH)), WIDTH, WIDTH)


@entry(name="transformer", opset=13, bound=26.0, also=tables_are_integers)
@entry(name="transformer_17", opset=17, bound=26.0, also=tables_are_integers)
def transformer(net):
    """Two layers, the normalization behind each sum as in BERT, and padding masked with the lowest float there is."""
    ids = net.input_indices([LENGTH], "ids", WORDS)
    kept = net.input_indices([LENGTH], "kept", 2)
    x = net.node("Gather", net.constant(net.weights(WORDS, WIDTH, fan_in=2)), ids)
    x = layer_norm(net, net.node("Add", x, net.constant(net.weights(1, LENGTH, WIDTH, fan_in=2))))
    mask = net.node("Cast", net.node("Unsqueeze", kept, net.ints(1, 2)), to=TensorProto.FLOAT)
    mask = net.node("Mul", net.node("Sub", net.constant(1.0), mask), net.constant(np.finfo(np.float32).min))
    for _ in range(2):
        x = layer_norm(net, net.node("Add", x, attention(net, x, mask)))
        inner = gelu(net, linear(net, x, WIDTH, 4 * WIDTH))
        x = layer_norm(net, net.node("Add", x, linear(net, inner, 4 * WIDTH, WIDTH)))
    net.output(x, [LENGTH, WIDTH])


@entry(also=tables_are_integers)
def shared_embedding(net):
    """The table that words are looked up in twice, and that what comes out is compared with."""
    first, second = net.input_indices([LENGTH], "first", WORDS), net.input_indices([LENGTH], "second", WORDS)
    table = net.constant(net.weights(WORDS, WIDTH, fan_in=2))
    x = net.node("Add", net.node("Gather", table, first), net.node("Gather", table, second))
    x = net.node("Relu", linear(net, x, WIDTH, WIDTH))
    net.output(net.node("MatMul", x, net.node("Transpose", table, perm=[1, 0])), [LENGTH, WORDS])


@entry()
def embeddings_of_categories(net):
    """Tables of other forms: columns that are looked up, three axes, one axis, and numbers beside them."""
    ids, numbers = net.input_indices([3], "ids", 9), net.input([8], name="numbers")
    columns = net.node("Gather", net.constant(net.weights(4, 9, fan_in=2)), ids, axis=1)
    columns = net.node("Reshape", net.node("Transpose", columns, perm=[1, 0, 2]), net.ints(0, 12))
    three = net.node("Gather", net.constant(net.weights(9, 2, 2, fan_in=2)), ids)
    three = net.node("Reshape", three, net.ints(0, 12))
    one = net.node("Gather", net.constant(net.weights(9, fan_in=2)), ids)
    x = net.node("Concat", columns, three, one, numbers, axis=1)
    x = net.node("Gemm", x, net.constant(net.weights(35, 16)), net.constant(net.bias(16)))
    net.output(net.node("Gemm", net.node("Relu", x), net.constant(net.weights(16, 4))), [4])


@entry(opset=17, bound=26.0)
def vision_transformer(net):
    """Patches by a Conv, a class token in front, LayerNormalization before each layer as in ViT."""
    x = net.input([3, 8, 8])
    weight = net.constant(net.weights(WIDTH, 3, 4, 4))
    x = net.node("Conv", x, weight, net.constant(net.bias(WIDTH)), strides=[4, 4])
    x = net.node("Transpose", net.node("Reshape", x, net.ints(0, WIDTH, 4)), perm=[0, 2, 1])
    x = net.node("Concat", net.constant(net.weights(1, LENGTH - 4, WIDTH, fan_in=2)), x, axis=1)
    x = net.node("Add", x, net.constant(net.weights(1, LENGTH, WIDTH, fan_in=4)))

    def normal(value):
        scale, shift = net.constant(net.bias(WIDTH) + 1), net.constant(net.bias(WIDTH))
        return net.node("LayerNormalization", value, scale, shift, axis=-1)

    no_mask = net.constant(0.0)
    for _ in range(2):
        x = net.node("Add", x, attention(net, normal(x), no_mask))
        inner = gelu(net, linear(net, normal(x), WIDTH, 4 * WIDTH))
        x = net.node("Add", x, linear(net, inner, 4 * WIDTH, WIDTH))
    x = net.node("Gather", normal(x), net.constant(0, dtype=np.int64), axis=1)
    net.output(net.node("Gemm", x, net.constant(net.weights(10, WIDTH)), net.constant(net.bias(10)), transB=1), [10])
