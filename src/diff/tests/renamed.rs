//! Models none of whose names are the same.

use super::*;

/// The names of a net, its own or `other` ones.
fn namer(other: bool) -> impl Fn(&str) -> String {
    move |name| {
        if other { format!("{}_{}", name.len(), name.chars().rev().collect::<String>()) } else { name.to_owned() }
    }
}

/// Three products of what goes in, as an attention has them, each with a bias, in this order; `last` is in the third weight.
fn attention(other: bool, order: [usize; 3], last: f32) -> Model {
    let name = namer(other);
    let mut net = Builder::new(13).input(&name("hidden"), &[2, 4]);
    for which in order {
        let letter = ["q", "k", "v"][which];
        let part = |what: &str| name(&format!("{letter}_{what}"));
        let mut numbers = crate::ir::build::noise(16, which as u32 + 1);
        numbers[0] = if which == 2 { last } else { numbers[0] };
        net = net.floats(&part("weight"), &[4, 4], &numbers).noise(&part("bias"), &[4], which as u32 + 7);
        net = net.node("MatMul", &[&name("hidden"), &part("weight")], &[&part("product")], vec![]);
        net = net.node("Add", &[&part("product"), &part("bias")], &[&part("sum")], vec![]);
    }
    net = net.node("Transpose", &[&name("k_sum")], &[&name("turned")], vec![ints("perm", &[1, 0])]);
    net = net.node("MatMul", &[&name("q_sum"), &name("turned")], &[&name("scores")], vec![]);
    net = net.node("Softmax", &[&name("scores")], &[&name("shares")], vec![int("axis", 1)]);
    net = net.node("MatMul", &[&name("shares"), &name("v_sum")], &[&name("found")], vec![]);
    let mut proto = net.output(&name("found"), &[2, 4]).proto();
    for node in proto.graph.iter_mut().flat_map(|graph| &mut graph.node) {
        node.name = Some(format!("{} {}", node.op_type(), node.output[0]));
    }
    Model::from_proto(proto).expect("a model")
}

#[test]
fn a_model_whose_names_all_differ_has_other_names_and_nothing_else() {
    let found = of(&attention(false, [0, 1, 2], 0.5), &attention(true, [2, 0, 1], 0.5));
    assert!(found.is_all_but_names() && !found.is_empty(), "{found:?}");
    assert_eq!((found.compared.nodes, found.compared.constants), (10, 6));
    // 10 nodes, what they make, 6 constants and the input.
    assert_eq!(found.renamed.len(), 27, "{:?}", found.renamed);
    let named = namer(true);
    for change in found.renamed.iter().filter(|change| change.what != "node") {
        assert_eq!(change.b.as_deref(), change.a.as_deref().map(&named).as_deref(), "{change:?}");
    }
    let text = found.to_string();
    assert!(text.contains("  input: hidden -> ") && text.contains("other names "), "{text}");
}

#[test]
fn a_number_that_differs_is_found_under_other_names() {
    let found = of(&attention(false, [0, 1, 2], 0.5), &attention(true, [1, 2, 0], 0.75));
    let [constant] = &found.constants[..] else { panic!("{found:?}") };
    assert_eq!((constant.name.as_str(), constant.differing), ("v_weight", Some(1)));
    assert_eq!(constant.b_name.as_deref(), Some(namer(true)("v_weight").as_str()));
    assert!(found.changed.is_empty() && found.removed.is_empty() && found.added.is_empty(), "{found:?}");
}

/// The same net as floats and as integers: a product, a Relu, and a product.
fn layers(quantized: bool, other: bool) -> Model {
    let name = namer(other);
    let names = |all: &[&str]| all.iter().map(|text| name(text)).collect::<Vec<_>>();
    let mut net = Builder::new(13).input(&name("x"), &[2, 4]);
    let mut add = |op_type: &str, reads: &[&str], makes: &str| {
        let (reads, makes) = (names(reads), name(makes));
        let reads: Vec<&str> = reads.iter().map(String::as_str).collect();
        let current = std::mem::replace(&mut net, Builder::new(13));
        net = current.node(op_type, &reads, &[&makes], vec![]);
    };
    for (from, layer, to) in [("x", "a", "r"), ("r", "b", "y")] {
        let (weight, made) = (format!("w{layer}"), format!("m{layer}"));
        if !quantized {
            add("MatMul", &[from, &weight], if to == "r" { &made } else { to });
            if to == "r" {
                add("Relu", &[&made], to);
            }
            continue;
        }
        let [integers, lead, stored] = ["q", "d", "s"].map(|kind| format!("{kind}{layer}"));
        add("QuantizeLinear", &[from, "scale", "zero"], &integers);
        add("DequantizeLinear", &[&integers, "scale", "zero"], &lead);
        let (stored_name, turned) = (format!("{weight}_quantized"), format!("{stored}_d"));
        add("DequantizeLinear", &[&stored_name, "step"], &turned);
        // The clamp has vanished into the grid.
        add("MatMul", &[&lead, &turned], to);
    }
    if quantized {
        net = net.floats(&name("scale"), &[], &[0.02]).floats(&name("step"), &[], &[0.5]);
        net = net.constant(&name("zero"), &bytes(DataType::Uint8, &[], &[0]));
    }
    for (layer, more) in [("a", 1), ("b", 3)] {
        let integers: Vec<u8> = (0..16).map(|k| k * more).collect();
        net = match quantized {
            true => net.constant(&name(&format!("w{layer}_quantized")), &bytes(DataType::Int8, &[4, 4], &integers)),
            false => {
                let numbers: Vec<f32> = integers.iter().map(|&q| f32::from(q) * 0.5).collect();
                net.floats(&name(&format!("w{layer}")), &[4, 4], &numbers)
            }
        };
    }
    net.output(&name("y"), &[2, 4]).build()
}

#[test]
fn a_conversion_under_other_names_differs_as_under_its_own() {
    let plain = of(&layers(false, false), &layers(true, false));
    let found = of(&layers(false, false), &layers(true, true));
    let counts =
        |found: &Difference| [found.removed.len(), found.added.len(), found.one_sided.len(), found.constants.len()];
    assert_eq!(counts(&found), counts(&plain), "{found:?}\n{plain:?}");
    // That the clamp's name went over to the product is no longer told: the product is known by what it is.
    assert!(found.changed.is_empty(), "{found:?}");
    assert_eq!(found.constants.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["wa", "wb"]);
    assert!(found.constants.iter().all(|constant| constant.max_abs == Some(0.0)), "{:?}", found.constants);
    let sided: Vec<_> = found.one_sided.iter().map(|one| (one.kind, one.name.as_str())).collect();
    assert!(sided.contains(&("activation", "r")) && sided.contains(&("constant", "wb")), "{sided:?}");
}
