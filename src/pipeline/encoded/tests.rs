use super::super::Planned;
use super::*;
use crate::ir::build::{Builder, int};
use crate::policy::Raw;

/// Layers that read `w` (columns are channels), `t` (rows are) and `k` (a kernel), a sum with `c`, and lookups in the tables `e`
/// and `s`.
fn model() -> Model {
    Builder::new(17)
        .input("x", &[1, 4])
        .input("p", &[1, 2, 5])
        .noise("w", &[4, 6], 1)
        .noise("t", &[3, 6], 2)
        .noise("c", &[3], 3)
        .noise("k", &[8, 2, 1], 4)
        .noise("e", &[10, 4], 5)
        .noise("s", &[4, 4], 6)
        .ints("i", &[2])
        .node("MatMul", &["x", "w"], &["a"], vec![])
        .node("Gemm", &["a", "t"], &["b"], vec![int("transB", 1)])
        .node("Add", &["b", "c"], &["y"], vec![])
        .node("Conv", &["p", "k"], &["q"], vec![])
        .node("Gather", &["e", "i"], &["r"], vec![])
        .node("Gather", &["s", "i"], &["u"], vec![])
        .output("y", &[1, 3])
        .output("q", &[1, 8, 5])
        .output("r", &[1, 4])
        .output("u", &[1, 4])
        .build()
}

fn stated(count: usize, axis: StatedAxis, block: Option<usize>) -> StatedConstant {
    let grid = |at| Params { dtype: GridType::Int8, scale: 1.0 + at as f32, zero_point: 0 };
    StatedConstant { grids: (0..count).map(grid).collect(), axis, block }
}

fn of(name: &str, stated: &StatedConstant) -> Result<KnownConstant> {
    let model = model();
    fitted(&model.graph, model.graph.find(name).expect("a constant"), stated, false)
}

#[test]
fn channels_lie_where_the_operator_has_them() {
    for (name, count, axis) in [("w", 6, 1), ("t", 3, 0), ("k", 8, 0), ("e", 10, 0), ("e", 4, 1)] {
        let known = of(name, &stated(count, StatedAxis::Channels, None)).expect(name);
        assert_eq!((known.axis, known.block, known.grids.len()), (Some(axis), None, count), "{name}");
    }
    for (name, count) in [("s", 4), ("c", 3), ("e", 5)] {
        let error = of(name, &stated(count, StatedAxis::Channels, None)).expect_err(name).to_string();
        assert!(error.contains("encodings 2.0.0 can state it"), "{error}");
    }
    let negative = of("w", &stated(4, StatedAxis::At(-2), None)).expect("an axis");
    assert_eq!(negative.axis, Some(0));
    assert!(of("w", &stated(4, StatedAxis::At(2), None)).expect_err("no axis").to_string().contains("along axis 2"));
    // One grid has no axis, and beside activations it has their sign.
    let one = of("c", &stated(1, StatedAxis::Channels, None)).expect("a grid");
    assert_eq!((one.axis, one.grids[0].dtype, one.grids[0].zero_point), (None, GridType::Uint8, 128));
}

#[test]
fn blocks_of_a_channel_come_into_the_order_of_dequantize_linear() {
    let scales = |known: &KnownConstant| known.grids.iter().map(|grid| grid.scale as i32).collect::<Vec<_>>();
    let rows = of("t", &stated(6, StatedAxis::Channels, Some(3))).expect("blocks");
    assert_eq!((rows.axis, rows.block, scales(&rows)), (Some(1), Some(3), vec![1, 2, 3, 4, 5, 6]));
    let columns = of("w", &stated(12, StatedAxis::Channels, Some(2))).expect("blocks");
    assert_eq!((columns.axis, columns.block), (Some(0), Some(2)));
    assert_eq!(scales(&columns), [1, 3, 5, 7, 9, 11, 2, 4, 6, 8, 10, 12]);
    assert!(
        of("w", &stated(11, StatedAxis::Channels, Some(2)))
            .expect_err("too few")
            .to_string()
            .contains("expected 6 times 2")
    );
    let kernel = of("k", &stated(8, StatedAxis::Channels, Some(2))).expect("blocks");
    assert_eq!((kernel.axis, scales(&kernel).len()), (Some(1), 8));
}

/// A HardSwish behind a layer, on which all that the model has gets a grid but for the two values that preparing makes.
fn swish(entries: &str) -> Result<Planned> {
    let model = Builder::new(17)
        .input("x", &[1, 3, 8, 8])
        .noise("w", &[4, 3, 3, 3], 1)
        .node("Conv", &["x", "w"], &["c"], vec![])
        .node("HardSwish", &["c"], &["s"], vec![])
        .noise("v", &[2, 4, 1, 1], 2)
        .node("Conv", &["s", "v"], &["y"], vec![])
        .output("y", &[1, 2, 6, 6])
        .build();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    file::save(&model, &at("m.onnx")).expect("a file");
    std::fs::write(at("e.json"), format!(r#"{{"x": [-1, 1], "s": [0, 4], "y": [0, 2]{entries}}}"#)).expect("a file");
    let policy = "version: 1\nmodel: m.onnx\noutput: o.onnx\ndata: { encodings: e.json }\n";
    Planned::new(&Raw::parse(policy, &at("p.yaml")).and_then(|raw| raw.settings())?)
}

#[test]
fn what_preparing_makes_of_a_value_follows_from_its_range() {
    let planned = swish(r#", "c": [-12, 9]"#).expect("a plan");
    let ranges = &planned.known.told.ranges;
    let sixth = 1.0 / 6.0_f32.sqrt();
    for (name, low, high) in [("s_cut_clip_1", -3.0 * sixth, 9.0 * sixth), ("s_gate_clip_1", 0.0, 6.0 * sixth)] {
        let value = planned.model.graph.find(name).expect("made by preparing");
        let found = ranges[name];
        assert!((found.0 - low).abs() < 1e-6 && (found.1 - high).abs() < 1e-6, "{name}: {found:?}");
        let range = planned.plan.value(value).expect("on a grid").range;
        assert_eq!(range, crate::plan::RangeSource::Given(found.0, found.1), "{name}");
    }
    assert_eq!(planned.plan.unused, [], "the range of c is of use");
    let summary = planned.encoded.expect("encodings").summary(&mut Vec::new());
    assert_eq!((summary.entries, summary.used), (4, 4));
}

#[test]
fn what_is_stated_of_a_value_itself_comes_before_what_it_follows_from() {
    let planned = swish(r#", "c": [-1, 1], "s_cut_clip_1": [0, 1]"#).expect("a plan");
    let ranges = &planned.known.told.ranges;
    assert_eq!(ranges["s_cut_clip_1"], (0.0, 1.0));
    let sixth = 1.0 / 6.0_f32.sqrt();
    let (low, high) = ranges["s_gate_clip_1"];
    assert!((low - 2.0 * sixth).abs() < 1e-6 && (high - 4.0 * sixth).abs() < 1e-6, "{low} {high}");
    // With nothing to follow from, the values need samples; what the file does not have is not listed as its own.
    let planned = swish("").expect("a plan");
    assert!(["s_cut_clip_1", "s_gate_clip_1"].iter().all(|name| !planned.known.told.ranges.contains_key(*name)));
    assert_eq!(planned.plan.unused, []);
}
