//! Layers, in runtimes that leave nodes out as a test tells them.

use super::*;
use crate::exec::{Program, Tract, Types};
use crate::file;
use crate::ir::build::{self, Builder};
use crate::quant::Float8;
use crate::tensor::{DataType, Tensor, TensorType};
use prost::Message;

/// tract, which makes an Identity of every node of one type.
#[derive(Default)]
struct Leaves {
    tract: Tract,
    out: &'static str,
    /// It does where a model has no inputs but its own.
    in_whole_models: bool,
    refuses: bool,
}

impl Executor for Leaves {
    fn name(&self) -> String {
        "a runtime".to_owned()
    }

    fn compile(&self, model: &[u8], inputs: &[TensorType], observed: &[String]) -> Result<Box<dyn Program>> {
        if self.refuses {
            return Err(crate::error::Error::Engine("no kernel".to_owned()));
        }
        let mut model = crate::proto::ModelProto::decode(model).expect("a message");
        if !self.in_whole_models || inputs.len() == 1 {
            let nodes = model.graph.iter_mut().flat_map(|graph| &mut graph.node);
            nodes.filter(|node| node.op_type() == self.out).for_each(|node| node.op_type = Some("Identity".to_owned()));
        }
        let model = crate::ir::Model::from_proto(model)?;
        self.tract.compile(&file::to_bytes(&model)?, inputs, observed)
    }

    fn types(&self, model: &[u8], inputs: &[TensorType]) -> Result<Types> {
        self.tract.types(model, inputs)
    }
}

fn leaves(out: &'static str) -> Leaves {
    Leaves { out, ..Leaves::default() }
}

/// x on a grid, its Relu on a grid, the negative of that on a grid.
fn model(dtype: DataType) -> Model {
    let zero = Tensor::new(dtype, vec![], vec![0u8; dtype.bits().expect("a size") / 8].into()).expect("a zero point");
    let mut model = Builder::new(21).input("x", &[64]).floats("scale", &[], &[0.05]).constant("zero", &zero);
    for (op, from, number, integers, to) in
        [("Identity", "x", "n0", "q0", "d0"), ("Relu", "d0", "n1", "q1", "d1"), ("Neg", "d1", "n2", "q2", "y")]
    {
        model = model.node(op, &[from], &[number], vec![]);
        model = model.node("QuantizeLinear", &[number, "scale", "zero"], &[integers], vec![]);
        model = model.node("DequantizeLinear", &[integers, "scale", "zero"], &[to], vec![]);
    }
    model.output("y", &[64]).build()
}

fn seen(model: &Model, disable_all: &Leaves, default: &Leaves) -> Handed {
    let runtime = Runtime { name: String::new(), disable_all, default };
    let places = places::places(model).expect("places");
    let own = Tract::default();
    let runs = Runs::new(model, places, (&own, &runtime)).expect("runs");
    let look = |seed| runs.look(&[Tensor::from_f32(vec![64], &build::noise(64, seed))]).expect("seen");
    summed(runs.places(), &[look(1), look(2)])
}

fn verdicts(found: &Handed) -> Vec<LayerVerdict> {
    found.layers.iter().map(|layer| layer.verdict).collect()
}

#[test]
fn what_is_left_out_is_found_in_its_layer_alone() {
    use LayerVerdict::{Across, Disagreement, Fusion, Same, Unknown};
    for dtype in [DataType::Int8, DataType::Int16] {
        let model = model(dtype);
        let found = seen(&model, &leaves(""), &leaves("Relu"));
        // What comes behind it is off only in the whole model.
        assert_eq!(verdicts(&found), [Same, Fusion, Same], "{found:?}");
        assert_eq!(found.layers[1].operators, ["Relu"]);
        assert_eq!((found.layers[1].value.as_str(), found.layers[1].integers.as_str()), ("n1", "q1"));
        let behind = found.layers[2].accumulated;
        assert_eq!(behind.disable_all.map(|apart| apart.steps), Some(0));
        assert!(behind.default.is_some_and(|apart| apart.steps > 1 && (0.3..0.7).contains(&apart.share)), "{behind:?}");
        assert!(found.summary().starts_with("1 of 3 more than 1 step off by what"), "{}", found.summary());
        assert_eq!(verdicts(&seen(&model, &leaves("Relu"), &leaves(""))), [Same, Disagreement, Same]);
    }
    let model = model(DataType::Int8);
    let whole = Leaves { in_whole_models: true, ..leaves("Relu") };
    assert_eq!(verdicts(&seen(&model, &leaves(""), &whole)), [Same, Across, Same]);
    let refuses = Leaves { refuses: true, ..Leaves::default() };
    let found = seen(&model, &leaves(""), &refuses);
    assert_eq!(verdicts(&found), [Unknown; 3]);
    let said: Vec<_> = found.refused.iter().map(|one| (one.run, one.level, one.why.as_str())).collect();
    assert_eq!(said, [("whole", "default", "no kernel"), ("alone", "default", "no kernel")]);
    let found = seen(&model, &leaves(""), &leaves(""));
    assert_eq!(
        (verdicts(&found), found.summary()),
        (vec![Same; 3], "every layer alone gives the same integers".to_owned())
    );
}

#[test]
fn a_step_is_rounding_and_more_is_not() {
    use LayerVerdict::{Across, Disagreement, Fusion, Rounding, Same, Unknown};
    let at = |levels: [Option<u32>; 2]| {
        let [disable_all, default] = levels.map(|steps| steps.map(|steps| StepsApart { steps, share: 0.5 }));
        AtLevels { disable_all, default }
    };
    let far = [Some(9), Some(9)];
    for (alone, accumulated, same_before, wanted) in [
        ([Some(0), Some(0)], far, false, Same),
        ([Some(0), Some(0)], far, true, Across),
        ([Some(1), Some(0)], far, false, Rounding),
        ([Some(0), Some(1)], [Some(1), Some(1)], true, Rounding),
        ([Some(1), Some(2)], far, true, Fusion),
        ([Some(2), Some(0)], far, true, Disagreement),
        ([Some(2), None], far, false, Disagreement),
        ([Some(0), None], far, false, Unknown),
        ([None, Some(3)], far, false, Unknown),
        ([None, Some(1)], far, false, Rounding),
    ] {
        assert_eq!(of_layer(at(alone), at(accumulated), same_before, 1), wanted, "{alone:?} {accumulated:?}");
    }
}

#[test]
fn integers_on_a_grid_of_the_model_are_places() {
    let int8 = Tensor::new(DataType::Int8, vec![], vec![0u8].into()).expect("a zero point");
    let model =
        Builder::new(21).input("x", &[8]).floats("s", &[], &[0.1]).constant("z", &int8).floats("w", &[8], &[0.5; 8]);
    // A weight, integers found while it runs, a type that is stated, shapes.
    let model = model.node("QuantizeLinear", &["w", "s", "z"], &["wq"], vec![]);
    let model = model.node("DequantizeLinear", &["wq", "s", "z"], &["wd"], vec![]);
    let model = model.node("DynamicQuantizeLinear", &["x"], &["dq", "ds", "dz"], vec![]);
    let model = model.node("DequantizeLinear", &["dq", "ds", "dz"], &["dd"], vec![]);
    let model = model.node("Mul", &["dd", "wd"], &["m"], vec![]).node("Shape", &["x"], &["shape"], vec![]);
    let model = model.node("Reshape", &["m", "shape"], &["r"], vec![]);
    let model = model.node("QuantizeLinear", &["r", "s"], &["q"], vec![build::int("output_dtype", 4)]);
    let model = model.node("DequantizeLinear", &["q", "s"], &["d"], vec![]);
    let model = model.node("Add", &["d", "d"], &["a"], vec![]).node("QuantizeLinear", &["a", "s"], &["p"], vec![]);
    let found =
        places::places(&model.node("Cast", &["p"], &["y"], vec![build::int("to", 1)]).output("y", &[8]).build());
    let found = found.expect("places");
    let told: Vec<_> = found.iter().map(|place| (place.integers.as_str(), place.dtype, place.reads.clone())).collect();
    assert_eq!(told, [("q", DataType::Uint16, vec![]), ("p", DataType::Uint8, vec![0])]);
    assert_eq!(found[0].operators, ["DynamicQuantizeLinear", "Mul", "Reshape"]);
    assert_eq!(found[1].operators, ["Add"]);
}

#[test]
fn float8_is_counted_number_by_number() {
    for (dtype, kind) in [(DataType::Float8E4M3Fn, Float8::E4m3fn), (DataType::Float8E5M2, Float8::E5m2)] {
        let mut all: Vec<f32> = (0..=255).map(|code| kind.decode(code)).filter(|number| number.is_finite()).collect();
        all.sort_by(f32::total_cmp);
        all.dedup();
        let places: Vec<i32> = all.iter().map(|&number| runs::on_grid(number, dtype).expect("a number")).collect();
        assert!(places.windows(2).all(|pair| pair[1] == pair[0] + 1), "{places:?}");
        assert_eq!(runs::on_grid(f32::NAN, dtype), None);
    }
    assert_eq!(runs::on_grid(-128.0, DataType::Int8), Some(-128));
    let nan = Apart::of([(None, None), (Some(3), None), (Some(3), Some(5))].into_iter());
    assert!(nan.told().steps == 255 && (nan.told().share - 2.0 / 3.0).abs() < 1e-9);
}
