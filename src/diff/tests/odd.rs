//! Numbers that are none, constants that are no numbers, and names that are no names.

use super::*;

fn weighed(numbers: [f32; 4]) -> Model {
    let net = Builder::new(13).input("x", &[1, 2]).floats("w", &[2, 2], &numbers).floats("v", &[2], &[numbers[0]; 2]);
    net.node("MatMul", &["x", "w"], &["p"], vec![])
        .node("Add", &["p", "v"], &["y"], vec![])
        .output("y", &[1, 2])
        .build()
}

#[test]
fn numbers_that_are_not_finite_in_one_model_alone_come_first() {
    let (plain, odd) = (weighed([1.0, 2.0, 3.0, 4.0]), weighed([9.0, f32::NAN, f32::INFINITY, 4.0]));
    for (a, b) in [(&plain, &odd), (&odd, &plain)] {
        let found = of(a, b);
        let [first, second] = &found.constants[..] else { panic!("{found:?}") };
        assert_eq!((first.name.as_str(), first.not_finite, first.max_abs), ("w", 2, Some(8.0)));
        assert_eq!((second.name.as_str(), second.not_finite), ("v", 0));
        let text = found.to_string();
        assert!(text.contains("2 infinite or NaN in one alone; ") && !text.contains("the same numbers"), "{text}");
    }
    let found = of(&plain, &weighed([1.0, f32::NAN, 3.0, 4.0]));
    assert!(!found.to_string().contains("the same numbers"), "{found}");
    assert!(of(&odd, &odd).is_empty());
}

#[test]
fn scales_that_are_no_numbers_have_no_ratio() {
    let of_scale = |scale: f32| Net { scale, weight_scale: scale, ..NET }.pairs();
    for odd in [0.0, f32::INFINITY, f32::NAN] {
        let (one, two) = (of_scale(odd), of_scale(0.5));
        let found = of(&one, &two);
        assert!(found.grids.iter().all(|grid| grid.scale_ratio.is_none()), "{found:?}");
        assert_eq!(found.grids.len(), if odd.is_nan() { 0 } else { 2 }, "{found:?}");
        assert!(found.constants.iter().all(|constant| constant.scale_ratio.is_none()), "{found:?}");
        assert!(!found.to_string().contains("scale x"), "{found}");
        assert!(of(&one, &one).is_empty(), "{odd}");
    }
}

#[test]
fn strings_are_compared_as_what_they_are() {
    let net = |stored: &str, stated: &str| {
        let net = Builder::new(13).input("x", &[1]).node("Identity", &["k"], &["y"], vec![]);
        let net = net.node("Constant", &[], &["c"], vec![tensor("value", &Tensor::from_f32(vec![1], &[0.0]))]);
        let mut proto = net.output("y", &[1]).output("c", &[1]).proto();
        let graph = proto.graph.as_mut().expect("a graph");
        let held = graph.node[1].attribute[0].t.as_mut().expect("a tensor");
        (held.data_type, held.raw_data) = (Some(DataType::String.onnx()), None);
        held.string_data = vec![stated.to_owned().into()];
        let mut initializer = held.clone();
        (initializer.name, initializer.string_data) = (Some("k".to_owned()), vec![stored.to_owned().into()]);
        graph.initializer.push(initializer);
        Model::from_proto(proto).expect("a model")
    };
    assert!(of(&net("a", "c"), &net("a", "c")).is_empty());
    let found = of(&net("a", "c"), &net("b", "c"));
    let [constant] = &found.constants[..] else { panic!("{found:?}") };
    assert_eq!(
        (constant.a.as_deref(), constant.b.as_deref()),
        (Some("string, shape [1]"), Some("string, shape [1], with others"))
    );
    let found = of(&net("a", "c"), &net("a", "d"));
    assert_eq!(found.changed[0].changes[0].b.as_deref(), Some("[\"d\"]"), "{found:?}");
}

#[test]
fn sparse_tensors_are_compared() {
    let net = |number: f32, place: i64| {
        let net = Builder::new(13).input("x", &[3]).floats("k", &[1], &[number]).ints("i", &[place]);
        let mut proto = net.node("Add", &["x", "k"], &["y"], vec![]).output("y", &[3]).proto();
        let graph = proto.graph.as_mut().expect("a graph");
        graph.sparse_initializer.push(Default::default());
        let sparse = &mut graph.sparse_initializer[0];
        (sparse.indices, sparse.values) = (graph.initializer.pop(), graph.initializer.pop());
        sparse.dims = vec![3];
        Model::from_proto(proto).expect("a model")
    };
    assert!(of(&net(1.0, 1), &net(1.0, 1)).is_empty());
    for other in [net(2.0, 1), net(1.0, 2)] {
        let found = of(&net(1.0, 1), &other);
        let [constant] = &found.constants[..] else { panic!("{found:?}") };
        assert_eq!(constant.a.as_deref(), Some("sparse float32, shape [3], 1 stored"));
    }
}

#[test]
fn what_a_file_calls_its_things_is_no_command_to_a_terminal() {
    let evil = "a\x1b[31mred\nforged line";
    let net = |name: &str, operator: &str| {
        let net = Builder::new(13).input(name, &[1]).node(operator, &[name], &["y"], vec![]);
        let mut model = net.output("y", &[1]).build();
        model.set_metadata(name, "z");
        model
    };
    for (a, b) in [
        (net(evil, "Neg"), net("b", "Neg")),
        (net("b", evil), net("b", "Neg")),
        (net("b", "Neg"), net("b", evil)),
        (net(evil, evil), net("b", evil)),
    ] {
        let text = of(&a, &b).to_string();
        assert!(!text.contains('\x1b') && !text.lines().any(|line| line.starts_with("forged")), "{text}");
    }
    let mut found = of(&net("b", "Neg"), &net("b", "Neg"));
    found.notes.push(evil.to_owned());
    assert!(!found.to_string().contains('\x1b'));
}

#[test]
fn weights_of_layers_that_find_their_grids_are_no_activations() {
    let float = Builder::new(13).input("x", &[1, 2]).floats("w", &[2, 2], &[1.0, -1.0, 2.0, 0.5]);
    let float = float.node("MatMul", &["x", "w"], &["y"], vec![]).output("y", &[1, 2]).build();
    let net = Builder::new(13).input("x", &[1, 2]).floats("t", &[], &[0.25]);
    let net = net.constant("k", &bytes(DataType::Int8, &[], &[0]));
    let net = net.constant("w_quantized", &bytes(DataType::Int8, &[2, 2], &NET.weight));
    let dynamic = net
        .node("DynamicQuantizeLinear", &["x"], &["q", "s", "z"], vec![])
        .node("MatMulInteger", &["q", "w_quantized", "z", "k"], &["i"], vec![])
        .node("Cast", &["i"], &["f"], vec![int("to", 1)])
        .node("Mul", &["s", "t"], &["both"], vec![])
        .node("Mul", &["f", "both"], &["y"], vec![])
        .output("y", &[1, 2])
        .build();
    let found = of(&float, &dynamic);
    let told: Vec<_> = found.one_sided.iter().map(|one| (one.name.as_str(), one.kind)).collect();
    assert_eq!(told, [("y", "activation"), ("w", "constant")], "{found:?}");
}
