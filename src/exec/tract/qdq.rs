//! QuantizeLinear and DequantizeLinear for tract, exact.
//!
//! tract's own multiply by the reciprocal of the scale, which is a step off on ties, and wrap where the quotient passes
//! 2^31. These divide, round half to even and saturate, as the ONNX specification and ONNX Runtime do.

use super::own::{Kernel, Own, Wired};
use super::simulate;
use tract_onnx::model::OnnxOpRegister;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Puts the two operators in the place of tract's.
pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("QuantizeLinear", |_, node| build(node, Direction::Quantize));
    operators.insert("DequantizeLinear", |_, node| build(node, Direction::Dequantize));
}

#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
enum Direction {
    Quantize,
    Dequantize,
}

fn build(node: &NodeProto, direction: Direction) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let zero_point = node.input.len() == 3 && !node.input[2].is_empty();
    if node.get_attr_opt::<i64>("block_size")?.unwrap_or(0) != 0 {
        bail!("blocked {} is not re-executed", node.op_type);
    }
    if !zero_point && node.get_attr_opt::<i64>("output_dtype")?.unwrap_or(0) != 0 {
        bail!("{} with output_dtype and no zero point is not re-executed", node.op_type);
    }
    let axis = node.get_attr_opt("axis")?.unwrap_or(1);
    Ok((expand(Unresolved { direction, zero_point, axis }), vec![]))
}

/// The node before its scale and zero point are known to be constants.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Unresolved {
    direction: Direction,
    zero_point: bool,
    axis: i64,
}

impl Expansion for Unresolved {
    fn name(&self) -> StaticName {
        format!("Tare{:?}", self.direction).into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        solver.equals(&inputs[0].shape, &outputs[0].shape)?;
        match (self.direction, self.zero_point) {
            (Direction::Dequantize, _) => solver.equals(&outputs[0].datum_type, f32::datum_type()),
            (Direction::Quantize, true) => solver.equals(&outputs[0].datum_type, &inputs[2].datum_type),
            (Direction::Quantize, false) => solver.equals(&outputs[0].datum_type, u8::datum_type()),
        }
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
        let constant = |outlet: OutletId| -> TractResult<Arc<Tensor>> {
            let fact = model.outlet_fact(outlet)?;
            fact.konst.clone().context("scale and zero point must be constants")
        };
        let scales = constant(inputs[1])?.cast_to::<f32>()?.into_owned();
        let scales: Vec<u32> = scales.try_as_plain_ram()?.as_slice::<f32>()?.iter().map(|s| s.to_bits()).collect();
        let (zero_points, dtype) = if self.zero_point {
            let zero = constant(inputs[2])?;
            (zero.cast_to::<i32>()?.try_as_plain_ram()?.as_slice::<i32>()?.to_vec(), zero.datum_type())
        } else {
            (vec![0; scales.len()], u8::datum_type())
        };
        ensure!(scales.len() == zero_points.len(), "{} scales but {} zero points", scales.len(), zero_points.len());
        let rank = model.outlet_fact(inputs[0])?.rank() as i64;
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis };
        ensure!(scales.len() == 1 || (0..rank).contains(&axis), "axis {axis} of a tensor of rank {rank}");
        let op = Linear { direction: self.direction, scales, zero_points, axis: axis as usize, dtype };
        if let Some(known) = model.outlet_fact(inputs[0])?.konst.clone() {
            // tract computes only small constants beforehand, and packs only constant weights.
            let made = op.run(tvec!(known.into_tvalue()))?.remove(0);
            return Ok(tvec!(model.add_const(prefix, made.into_arc_tensor())?));
        }
        model.wire_node(prefix, Own(op), &inputs[..1])
    }
}

/// Either operator with its constants. Scales are kept as bits: the operator must be hashable.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct Linear {
    direction: Direction,
    scales: Vec<u32>,
    zero_points: Vec<i32>,
    axis: usize,
    /// The integer type to quantize to.
    dtype: DatumType,
}

impl Kernel for Linear {
    fn name(&self) -> StaticName {
        format!("TareExact{:?}", self.direction).into()
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let dtype = match self.direction {
            Direction::Quantize => self.dtype,
            Direction::Dequantize => f32::datum_type(),
        };
        Ok(tvec!(dtype.fact(inputs[0].shape.clone())))
    }

    fn simplified(&self, model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
        simulate::fused(self, model, node)
    }

    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        use DatumType::*;
        let out = match (self.direction, inputs[0].datum_type().unquantized(), self.dtype.unquantized()) {
            (Direction::Quantize, _, U8) => self.quantize::<u8>(&inputs[0])?,
            (Direction::Quantize, _, I8) => self.quantize::<i8>(&inputs[0])?,
            (Direction::Quantize, _, U16) => self.quantize::<u16>(&inputs[0])?,
            (Direction::Quantize, _, I16) => self.quantize::<i16>(&inputs[0])?,
            (Direction::Dequantize, U8, _) => self.dequantize::<u8>(&inputs[0])?,
            (Direction::Dequantize, I8, _) => self.dequantize::<i8>(&inputs[0])?,
            (Direction::Dequantize, U16, _) => self.dequantize::<u16>(&inputs[0])?,
            (Direction::Dequantize, I16, _) => self.dequantize::<i16>(&inputs[0])?,
            // The difference of two of 32 bits needs more.
            (Direction::Dequantize, I32, _) => {
                self.dequantize_by::<i32>(&inputs[0], |q, zero| (i64::from(q) - i64::from(zero)) as f32)?
            }
            (direction, from, to) => bail!("{direction:?} of {from:?} (integers {to:?}) is not re-executed"),
        };
        Ok(tvec!(out.into_tvalue()))
    }
}

/// Adding 1.5 * 2^23 rounds numbers below 2^22 half to even and leaves the integer in the low bits of the sum: unlike a
/// conversion, which saturates, this runs on vectors.
pub const ROUND: f32 = 12_582_912.0;

/// An integer of a grid.
trait Integer: Datum + Copy {
    const MIN: i32;
    const MAX: i32;
    fn from_low_bits(bits: u32) -> Self;
    /// `self - zero` as the nearest float32.
    fn steps_from(self, zero: i32) -> f32;
}

macro_rules! integer {
    ($($t:ty),*) => { $(impl Integer for $t {
        const MIN: i32 = <$t>::MIN as i32;
        const MAX: i32 = <$t>::MAX as i32;
        fn from_low_bits(bits: u32) -> Self { bits as $t }
        // Both have 16 bits at most.
        fn steps_from(self, zero: i32) -> f32 { i32::from(self).wrapping_sub(zero) as f32 }
    })* };
}
integer!(u8, i8, u16, i16);

/// `v` within bounds; NaN becomes the lower one, which `f32::clamp` would let through.
pub fn clamp(v: f32, low: f32, high: f32) -> f32 {
    let v = if v > low { v } else { low };
    if v < high { v } else { high }
}

impl Linear {
    /// Whether this is the DequantizeLinear to the QuantizeLinear `quantize`.
    pub fn undoes(&self, quantize: &Self) -> bool {
        self.direction == Direction::Dequantize && *quantize == Self { direction: Direction::Quantize, ..self.clone() }
    }

    /// The smallest and the largest integer to quantize to.
    ///
    /// # Errors
    /// When it is not known how to quantize to them.
    pub fn bounds(&self) -> TractResult<(i32, i32)> {
        Ok(match self.dtype.unquantized() {
            DatumType::U8 => (u8::MIN.into(), u8::MAX.into()),
            DatumType::I8 => (i8::MIN.into(), i8::MAX.into()),
            DatumType::U16 => (u16::MIN.into(), u16::MAX.into()),
            DatumType::I16 => (i16::MIN.into(), i16::MAX.into()),
            other => bail!("Quantize to {other:?} is not re-executed"),
        })
    }

    /// Calls `f(elements, scale, zero point)` for each run of elements on one grid.
    pub fn runs(&self, shape: &[usize], mut f: impl FnMut(std::ops::Range<usize>, f32, i32)) -> TractResult<()> {
        let count: usize = shape.iter().product();
        let scale = |i: usize| f32::from_bits(self.scales[i]);
        if let ([_], [zero]) = (&*self.scales, &*self.zero_points) {
            f(0..count, scale(0), *zero);
            return Ok(());
        }
        let channels = shape[self.axis];
        ensure!(channels == self.scales.len(), "{} scales for {channels} channels", self.scales.len());
        let inner: usize = shape[self.axis + 1..].iter().product();
        for start in (0..count).step_by(inner.max(1)) {
            let channel = start / inner.max(1) % channels;
            f(start..start + inner, scale(channel), self.zero_points[channel]);
        }
        Ok(())
    }

    fn quantize<T: Integer>(&self, input: &Tensor) -> TractResult<Tensor> {
        let input = input.cast_to::<f32>()?;
        let view = input.try_as_plain_ram()?;
        let from = view.as_slice::<f32>()?;
        let mut out = Tensor::zero_dt(T::datum_type(), input.shape())?;
        {
            let mut view = out.try_as_plain_ram_mut()?;
            let to = view.as_slice_mut::<T>()?;
            self.runs(input.shape(), |run, scale, zero| {
                // Between integers, saturating before or after rounding is the same.
                let (low, high) = ((T::MIN - zero) as f32, (T::MAX - zero) as f32);
                for (x, q) in from[run.clone()].iter().zip(&mut to[run]) {
                    let rounded = clamp(x / scale, low, high) + ROUND;
                    *q = T::from_low_bits(rounded.to_bits().wrapping_add(zero as u32));
                }
            })?;
        }
        Ok(out)
    }

    fn dequantize<T: Integer>(&self, input: &Tensor) -> TractResult<Tensor> {
        self.dequantize_by(input, T::steps_from)
    }

    fn dequantize_by<T: Datum + Copy>(&self, input: &Tensor, steps: impl Fn(T, i32) -> f32) -> TractResult<Tensor> {
        let view = input.try_as_plain_ram()?;
        let from = view.as_slice::<T>()?;
        let mut out = Tensor::zero_dt(f32::datum_type(), input.shape())?;
        {
            let mut view = out.try_as_plain_ram_mut()?;
            let to = view.as_slice_mut::<f32>()?;
            self.runs(input.shape(), |run, scale, zero| {
                for (&q, x) in from[run.clone()].iter().zip(&mut to[run]) {
                    *x = steps(q, zero) * scale;
                }
            })?;
        }
        Ok(out)
    }
}
