//! Operators that make each number of one alone.

use crate::ir::{Graph, NodeId};
use crate::ops;

/// What an operator makes of a number.
pub type Function = Box<dyn Fn(f64) -> f64>;

/// The function that a node is of its first input; `None` where it is none.
pub fn of(graph: &Graph, id: NodeId) -> Option<Function> {
    let node = graph.node(id);
    if !node.domain().is_empty() {
        return None;
    }
    let number = |name: &str, otherwise: f64| node.attributes().float(name).map_or(otherwise, f64::from);
    let cut = |low: f64, high: f64| -> Function { Box::new(move |x: f64| x.max(low).min(high)) };
    Some(match node.op_type() {
        "Relu" | "Clip" => {
            let (low, high) = ops::lookup(graph, id)?.bounds(graph, id)?;
            cut(f64::from(low), f64::from(high))
        }
        "Identity" => Box::new(|x| x),
        "Neg" => Box::new(|x| -x),
        "Abs" => Box::new(f64::abs),
        "Tanh" => Box::new(f64::tanh),
        "Sigmoid" => Box::new(sigmoid),
        "Softplus" => Box::new(softplus),
        "Mish" => Box::new(|x| x * softplus(x).tanh()),
        "HardSwish" => Box::new(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        "LeakyRelu" => {
            let alpha = number("alpha", 0.01);
            Box::new(move |x| if x < 0.0 { alpha * x } else { x })
        }
        "Elu" => {
            let alpha = number("alpha", 1.0);
            Box::new(move |x| if x < 0.0 { alpha * x.exp_m1() } else { x })
        }
        "Swish" => {
            let alpha = number("alpha", 1.0);
            Box::new(move |x| x * sigmoid(alpha * x))
        }
        "HardSigmoid" => {
            let (alpha, beta) = (number("alpha", 0.2), number("beta", 0.5));
            Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        _ => return None,
    })
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
