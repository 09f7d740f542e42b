//! Every way that exporters spell a pattern out is recognised, and nothing that only looks like it.

mod activations;
mod attention;
mod normalizations;
mod squeeze;

use super::*;
use crate::ir::Model;
use crate::ir::build::{Builder, float, int, ints};

/// Adds nodes written as `y = Clip x 0 6`, or `m = ReduceMean x axes=-1`. A word that is a number is a constant.
pub fn spelled(builder: Builder, lines: &[&str]) -> Builder {
    let mut names = 0;
    lines.iter().fold(builder, |mut builder, line| {
        let (output, rest) = line.split_once(" = ").expect("an output");
        let mut words = rest.split(' ');
        let op_type = words.next().expect("an operator");
        let (mut inputs, mut attributes) = (Vec::new(), Vec::new());
        for word in words {
            if let Some((key, value)) = word.split_once('=') {
                let whole: Option<Vec<i64>> = value.split(',').map(|v| v.parse().ok()).collect();
                attributes.push(match (key, whole) {
                    ("axes" | "perm", Some(values)) => ints(key, &values),
                    (_, Some(values)) => int(key, values[0]),
                    _ => float(key, value.parse().expect("a float")),
                });
            } else if let Ok(number) = word.parse::<f32>() {
                names += 1;
                let name = format!("number_{names}");
                builder = builder.floats(&name, &[], &[number]);
                inputs.push(name);
            } else {
                inputs.push(word.to_owned());
            }
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        builder.node(op_type, &inputs, &[output], attributes)
    })
}

/// A model from `x` to `y`, both of shape `[2, 3, 4]`, with constants `scale` and `bias` of one axis.
fn model(lines: &[&str]) -> Model {
    build(lines, None)
}

/// The same with one more output.
fn build(lines: &[&str], output: Option<&str>) -> Model {
    let builder = Builder::new(13).input("x", &[2, 3, 4]).output("y", &[2, 3, 4]);
    let builder = builder.noise("scale", &[4], 1).noise("bias", &[4], 2).noise("weight", &[4, 4], 3);
    let builder = match output {
        Some(name) => builder.output(name, &[]),
        None => builder,
    };
    spelled(builder, lines).build()
}

/// What the one pattern that ends in `y` is, when it begins at `x`.
fn kind(model: &Model) -> Option<Kind> {
    let (x, y) = (model.graph.find("x").expect("x"), model.graph.find("y").expect("y"));
    let found = find(&model.graph).into_iter().find(|f| f.output == y)?;
    (found.inputs == [x]).then_some(found.kind)
}

/// That `lines` are recognised as a whole, and no longer when a number is off, or somebody reads what lies inside.
fn assert_recognised(lines: &[&str]) -> Kind {
    let whole = model(lines);
    let kind_of_whole = kind(&whole).unwrap_or_else(|| panic!("not recognised: {lines:?}"));
    let found = find(&whole.graph);
    assert_eq!(found.len(), 1, "{lines:?}");
    assert_eq!(found[0].nodes, whole.graph.topological().expect("no circle"), "{lines:?}");
    for at in 0..lines.len() {
        for (number, word) in lines[at].split(' ').enumerate().filter_map(|(i, w)| Some((i, w.parse::<f32>().ok()?))) {
            let off = if word == 0.0 { 0.01 } else { word * 1.01 };
            let line = lines[at].split(' ').enumerate();
            let line: Vec<_> = line.map(|(i, w)| if i == number { off.to_string() } else { w.to_owned() }).collect();
            let line = line.join(" ");
            let mut other = lines.to_vec();
            other[at] = &line;
            assert_ne!(kind(&model(&other)), Some(kind_of_whole.clone()), "{other:?}");
        }
        let (inner, _) = lines[at].split_once(' ').expect("an output");
        if inner == "y" {
            continue;
        }
        let seen = build(lines, Some(inner));
        assert_ne!(kind(&seen), Some(kind_of_whole.clone()), "{inner} is a graph output: {lines:?}");
        let reader = format!("z = Abs {inner}");
        let read = build(&[lines, &[&reader]].concat(), Some("z"));
        assert_ne!(kind(&read), Some(kind_of_whole.clone()), "{inner} is read elsewhere: {lines:?}");
    }
    kind_of_whole
}

#[test]
fn a_long_chain_of_products_holds_no_pattern_but_at_its_end() {
    let mut lines = vec!["v0 = Mul x x".to_owned()];
    lines.extend((0..5000).map(|i| format!("v{} = Mul v{i} 1.5", i + 1)));
    lines.extend(["s = Sigmoid v5000".to_owned(), "y = Mul s v5000".to_owned()]);
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let found = find(&model(&lines).graph);
    assert_eq!(found.iter().map(|f| f.kind.clone()).collect::<Vec<_>>(), [Kind::Silu]);
    assert_eq!(found[0].nodes.len(), 2);
}

#[test]
fn an_operator_of_another_domain_is_no_part_of_a_pattern() {
    let mut proto = Builder::new(13).input("x", &[2]).output("y", &[2]);
    proto = proto.node("Sigmoid", &["x"], &["s"], vec![]).node("Mul", &["x", "s"], &["y"], vec![]);
    let mut proto = proto.proto();
    proto.graph.as_mut().expect("a graph").node[0].domain = Some("custom".to_owned());
    assert!(find(&Model::from_proto(proto).expect("a model").graph).is_empty());
}

#[test]
fn a_value_that_a_body_reads_is_not_inside_a_pattern() {
    use crate::ir::build::body;
    use crate::proto::{GraphProto, NodeProto, ValueInfoProto};
    let texts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let value = ValueInfoProto { name: Some("inside".to_owned()), ..ValueInfoProto::default() };
    let node = NodeProto {
        op_type: Some("Abs".to_owned()),
        input: texts(&["s"]),
        output: texts(&["inside"]),
        ..NodeProto::default()
    };
    let branch =
        GraphProto { name: Some("branch".to_owned()), node: vec![node], output: vec![value], ..GraphProto::default() };
    let builder = Builder::new(13).input("x", &[2]).input("c", &[]).output("y", &[2]).output("z", &[2]);
    let builder = spelled(builder, &["s = Sigmoid x", "y = Mul x s", "b = Cast c to=9"]);
    let branches = vec![body("then_branch", branch.clone()), body("else_branch", branch)];
    let model = builder.node("If", &["b"], &["z"], branches).build();
    assert!(find(&model.graph).is_empty());
}
