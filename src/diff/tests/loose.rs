//! Conversions none of whose names are those of what they were made of, and which spell operators out.

use super::*;

/// Products around what `middle` makes of `m`, called `h`; with names that begin with `prefix`.
fn net(prefix: &str, middle: impl FnOnce(Builder, &dyn Fn(&str) -> String) -> Builder) -> Model {
    let name = |text: &str| format!("{prefix}{text}");
    let net = Builder::new(14).input(&name("x"), &[2, 8]).noise(&name("w"), &[8, 6], 1).noise(&name("v"), &[6, 3], 2);
    let net = net.noise(&name("u"), &[8, 6], 3).floats(&name("three"), &[], &[3.0]);
    let net = net.floats(&name("zero"), &[], &[0.0]).floats(&name("six"), &[], &[6.0]);
    let net = net.node("MatMul", &[&name("x"), &name("w")], &[&name("m")], vec![]);
    let net = middle(net, &name).node("Softmax", &[&name("h")], &[&name("s")], vec![int("axis", 1)]);
    net.node("MatMul", &[&name("s"), &name("v")], &[&name("y")], vec![]).output(&name("y"), &[2, 3]).build()
}

/// One node for what is spelled out in the other.
fn whole() -> Model {
    net("", |net, name| net.node("HardSwish", &[&name("m")], &[&name("h")], vec![]))
}

/// A sum of `of` and a constant, clipped, times `m`.
fn spelled(of: &'static str, clip: bool) -> Model {
    net("other ", |mut net, name| {
        if of != "m" {
            net = net.node("MatMul", &[&name("x"), &name("u")], &[&name(of)], vec![]);
        }
        net = net.node("Add", &[&name("three"), &name(of)], &[&name("a")], vec![]);
        if clip {
            net = net.node("Clip", &[&name("a"), &name("zero"), &name("six")], &[&name("c")], vec![]);
        }
        net.node("Mul", &[&name("m"), &name(if clip { "c" } else { "a" })], &[&name("h")], vec![])
    })
}

#[test]
fn a_hard_swish_that_is_spelled_out_is_found_without_names() {
    for clip in [true, false] {
        let found = of(&whole(), &spelled("m", clip));
        assert!(found.removed.is_empty(), "{found:?}");
        let [change] = &found.changed[..] else { panic!("{found:?}") };
        let operators = [&change.changes[0].a, &change.changes[0].b].map(|side| side.as_deref());
        assert_eq!((change.operator.as_str(), operators), ("HardSwish", [Some("HardSwish"), Some("Mul")]));
        let added: Vec<_> = found.added.iter().map(|node| (node.operator.as_str(), node.part_of)).collect();
        let parts = [("Add", Some("HardSwish")), ("Clip", Some("HardSwish"))];
        assert_eq!(added, &parts[..if clip { 2 } else { 1 }]);
        assert!(found.to_string().contains(", part of a HardSwish"), "{found}");
        // What is behind it belongs together, and under the names of the first.
        assert!(found.renamed.iter().any(|change| change.a.as_deref() == Some("h")), "{:?}", found.renamed);
        assert_eq!(found.compared.nodes, 4);
    }
}

#[test]
fn a_division_behind_the_product_belongs_to_it() {
    let divided = |prefix: &str, divides: bool| {
        net(prefix, |net, name| {
            let net = net.node("Add", &[&name("m"), &name("three")], &[&name("a")], vec![]);
            let net = net.node("Clip", &[&name("a"), &name("zero"), &name("six")], &[&name("c")], vec![]);
            let made = name(if divides { "p" } else { "h" });
            let net = net.node("Mul", &[&name("m"), &name("c")], &[&made], vec![]);
            if divides { net.node("Div", &[&made, &name("six")], &[&name("h")], vec![]) } else { net }
        })
    };
    let found = of(&divided("", true), &divided("other ", false));
    let removed: Vec<_> = found.removed.iter().map(|node| (node.operator.as_str(), node.part_of)).collect();
    assert_eq!((removed, found.added.len()), (vec![("Div", Some("HardSwish"))], 0));
}

#[test]
fn a_softmax_of_a_later_opset_is_found_behind_its_flatten() {
    let net = |prefix: &str, flat: bool| {
        net(prefix, |net, name| {
            let read = name(if flat { "f" } else { "m" });
            let net = if flat { net.node("Flatten", &[&name("m")], &[&read], vec![]) } else { net };
            let net = net.node("Softmax", &[&read], &[&name("p")], vec![int("axis", 1)]);
            net.node("Reciprocal", &[&name("p")], &[&name("h")], vec![])
        })
    };
    let found = of(&net("", false), &net("other ", true));
    let added: Vec<&str> = found.added.iter().map(|node| node.operator.as_str()).collect();
    assert_eq!((found.removed.len(), added), (0, vec!["Flatten"]));
}

/// A product with a half behind a Tanh; in the other model one with two numbers behind it, and integers behind that.
#[test]
fn what_is_multiplied_more_often_is_told_by_the_constants() {
    let float = net("", |net, name| {
        let net = net.node("Tanh", &[&name("m")], &[&name("t")], vec![]).floats(&name("half"), &[], &[0.5]);
        net.node("Mul", &[&name("t"), &name("half")], &[&name("h")], vec![])
    });
    let integer = net("other ", |net, name| {
        let net = net.node("Tanh", &[&name("m")], &[&name("t")], vec![]).floats(&name("half"), &[], &[0.5]);
        let net = net.node("Mul", &[&name("t"), &name("half")], &[&name("g")], vec![]);
        let net =
            net.floats(&name("factors"), &[6], &[1.0, 2.0, 1.0, 4.0, 1.0, 1.0]).floats(&name("scale"), &[], &[0.1]);
        let net = net.node("Mul", &[&name("g"), &name("factors")], &[&name("f")], vec![]);
        let zero = Tensor::new(DataType::Uint8, vec![], vec![0u8].into()).expect("a zero point");
        let net = net.constant(&name("zp"), &zero);
        let net = net.node("QuantizeLinear", &[&name("f"), &name("scale"), &name("zp")], &[&name("q")], vec![]);
        net.node("DequantizeLinear", &[&name("q"), &name("scale"), &name("zp")], &[&name("h")], vec![])
    });
    let found = of(&float, &integer);
    let paired = |a: &str, b: &str| {
        found.renamed.iter().any(|change| (change.a.as_deref(), change.b.as_deref()) == (Some(a), Some(b)))
    };
    assert!(paired("half", "other half") && found.removed.is_empty(), "{found:?}");
    assert!(found.added.iter().any(|node| node.node.contains("other f")), "{:?}", found.added);
}

#[test]
fn a_product_of_two_values_is_no_hard_swish() {
    let found = of(&whole(), &spelled("z", true));
    assert!(found.removed.iter().any(|node| node.operator == "HardSwish"), "{found:?}");
    assert!(found.added.iter().all(|node| node.part_of.is_none()), "{found:?}");
}

#[test]
fn what_a_layer_took_in_hides_nothing_behind_it() {
    // A bias, a HardSigmoid and what both multiply, beside nothing but the products.
    let float = net("", |net, name| {
        let net = net.node("MatMul", &[&name("x"), &name("u")], &[&name("n")], vec![]);
        let net = net.node("Add", &[&name("n"), &name("three")], &[&name("biased")], vec![]);
        let net = net.node("HardSigmoid", &[&name("biased")], &[&name("gate")], vec![]);
        net.node("Mul", &[&name("m"), &name("gate")], &[&name("h")], vec![])
    });
    let integer = net("other ", |net, name| {
        let net = net.node("MatMul", &[&name("x"), &name("u")], &[&name("n")], vec![]);
        net.node("Mul", &[&name("m"), &name("n")], &[&name("h")], vec![])
    });
    let found = of(&float, &integer);
    let removed: Vec<&str> = found.removed.iter().map(|node| node.operator.as_str()).collect();
    assert_eq!((removed, found.added.len(), found.compared.nodes), (vec!["Add", "HardSigmoid"], 0, 5));
}
