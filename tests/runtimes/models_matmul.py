"""Gemm and MatMul in the forms that exporters write."""

import numpy as np
from catalogue import entry


@entry(name="gemm", transpose=0)
@entry(name="gemm_transposed", transpose=1)
def gemm(net, transpose):
    x = net.input([24])
    for columns, rows in ((24, 16), (16, 10)):
        weight = net.weights(rows, columns)
        weight = net.constant(weight if transpose else weight.T)
        x = net.node("Relu", net.node("Gemm", x, weight, net.constant(net.bias(rows)), transB=transpose))
    net.output(x, [10])


@entry(name="d17_gemm_alpha", alpha=0.25, beta=1.0)
@entry(name="d17_gemm_beta", alpha=1.0, beta=3.0)
@entry(name="d17_gemm_alpha_beta", alpha=-2.0, beta=0.5)
@entry(name="d17_gemm_no_bias", alpha=1.5, beta=1.0, bias=False)
def gemm_alpha_beta(net, alpha, beta, bias=True):
    x = net.input([24])
    rest = [net.constant(net.bias(16, size=1.0))] if bias else []
    x = net.node("Gemm", x, net.constant(net.weights(16, 24)), *rest, transB=1, alpha=alpha, beta=beta)
    net.output(net.node("Gemm", x, net.constant(net.weights(10, 16)), transB=1), [10])


@entry(name="d16_gemm_bias_row", shape=(1, 16))
@entry(name="gemm_bias_scalar", shape=())
@entry(name="gemm_bias_one", shape=(1,))
@entry(name="gemm_bias_one_by_one", shape=(1, 1))
def gemm_bias(net, shape):
    """A bias that has to be broadcast before it can be quantized per channel."""
    x = net.input([24])
    bias = net.constant(net.random.normal(0, 1, shape))
    x = net.node("Relu", net.node("Gemm", x, net.constant(net.weights(24, 16)), bias))
    net.output(net.node("Gemm", x, net.constant(net.weights(16, 10)), net.constant(net.bias(10))), [10])


@entry(name="d16_add_bias_row", shape=(1, 16))
@entry(name="matmul_add_bias", shape=(16,))
def matmul_add(net, shape):
    x = net.input([24])
    x = net.node("MatMul", x, net.constant(net.weights(24, 16)))
    x = net.node("Relu", net.node("Add", x, net.constant(net.bias(*shape, size=1.0))))
    net.output(net.node("MatMul", x, net.constant(net.weights(16, 10))), [10])


@entry()
def matmul_sequence(net):
    """[N, tokens, features] times a matrix: what transformers are made of."""
    x = net.input([7, 24])
    x = net.node("MatMul", x, net.constant(net.weights(24, 32)))
    x = net.node("Relu", net.node("Add", net.constant(net.bias(32)), x))
    net.output(net.node("MatMul", x, net.constant(net.weights(32, 12))), [7, 12])


@entry(name="d6_matmul_batched_weight")
def matmul_batched_weight(net):
    """A constant of rank 3: its channels are on the last axis, and axis 1 is summed over."""
    x = net.input([3, 5, 24])
    x = net.node("MatMul", x, net.constant(net.weights(3, 24, 16, fan_in=24)))
    net.output(net.node("MatMul", net.node("Relu", x), net.constant(net.weights(16, 8))), [3, 5, 8])


@entry()
def matmul_weight_first(net):
    """The constant is the left matrix: its channels, if it has any, are rows."""
    x = net.input([24, 6])
    x = net.node("MatMul", net.constant(net.weights(16, 24)), x)
    net.output(net.node("MatMul", net.node("Relu", x), net.constant(net.weights(6, 8))), [16, 8])


@entry()
def matmul_of_two_values(net):
    """Attention without its Softmax: neither factor is constant."""
    x = net.input([6, 16])
    q, k, v = (net.node("MatMul", x, net.constant(net.weights(16, 16))) for _ in range(3))
    scores = net.node("MatMul", q, net.node("Transpose", k, perm=[0, 2, 1]))
    scores = net.node("Mul", scores, net.constant(0.05))
    x = net.node("MatMul", scores, v)
    net.output(net.node("MatMul", x, net.constant(net.weights(16, 8))), [6, 8])


@entry()
def attention(net):
    x = net.input([6, 16])
    q, k, v = (net.node("MatMul", x, net.constant(net.weights(16, 16))) for _ in range(3))
    scores = net.node("MatMul", q, net.node("Transpose", k, perm=[0, 2, 1]))
    scores = net.node("Softmax", net.node("Div", scores, net.constant(np.sqrt(16))), axis=-1)
    x = net.node("Add", x, net.node("MatMul", scores, v))
    net.output(net.node("MatMul", x, net.constant(net.weights(16, 8))), [6, 8])
