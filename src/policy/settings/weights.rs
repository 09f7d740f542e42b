//! How weights become integers: the policy as used, and what a mode cannot have.

use super::super::raw::{BiasType, Format, Granularity, Mode, WeightForm, WeightRange, WeightTypeName, Weights};
use super::activations::settled;
use crate::quant::{CodeBook, Float8, GridType, Scheme};

/// How many weights make a block where the policy does not say.
pub const DEFAULT_BLOCK_SIZE: usize = 32;
/// The first operator set whose integers of 8 bits may have a scale for each channel.
pub(super) const OLDEST_OPSET: i64 = 13;
/// The oldest operator set with float8.
pub(super) const FLOAT8_OPSET: i64 = 19;

/// How a weight becomes integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightSettings {
    /// Whether weights are kept small enough for the 16-bit sums of x86 kernels without VNNI.
    pub avoid_saturation: bool,
    /// Type, symmetry, and whether one bit is left unused. Always symmetric where the granularity is per channel.
    pub scheme: Scheme,
    /// How many scales there are.
    pub granularity: Granularity,
    /// Whether somebody said if they are symmetric, and it is not what is best for the type.
    pub symmetric_stated: bool,
    /// The same of the granularity.
    pub granularity_stated: bool,
    /// How many weights make a block where the granularity is [`Granularity::PerBlock`]. Never zero.
    pub block_size: usize,
    /// How integers that only weights are stored as stand in the model.
    pub form: WeightForm,
    /// What the integers stand for, where these are not steps of one length.
    pub codes: Option<CodeBook>,
    /// How far the integers reach.
    pub range: WeightRange,
    /// The type of the bias of an integer layer.
    pub bias: BiasType,
}

impl Default for WeightSettings {
    fn default() -> Self {
        let scheme = Scheme::new(GridType::Int8, true);
        Self {
            avoid_saturation: true,
            scheme,
            granularity: Granularity::PerChannel,
            symmetric_stated: false,
            granularity_stated: false,
            block_size: DEFAULT_BLOCK_SIZE,
            form: WeightForm::Qdq,
            codes: None,
            range: WeightRange::LeastError,
            bias: BiasType::Int32,
        }
    }
}

impl WeightSettings {
    /// The same with what `over` says instead.
    pub(in crate::policy) fn with(self, over: &Weights) -> Self {
        let symmetric_stated = self.symmetric_stated || over.symmetric.is_some();
        let granularity_stated = self.granularity_stated || over.granularity.is_some();
        let dtype = over.dtype.map_or(self.scheme.dtype, GridType::from);
        // Of fewer than 8 bits one scale for each channel leaves little, and blocks whose zero may lie anywhere leave most.
        let blocks = dtype.bits() < 8 && !granularity_stated;
        let scheme = Scheme {
            dtype,
            symmetric: match symmetric_stated {
                true => over.symmetric.unwrap_or(self.scheme.symmetric),
                false => !blocks,
            },
            reduce_range: over.reduce_range.unwrap_or(self.scheme.reduce_range),
            power_of_two: over.power_of_two.unwrap_or(self.scheme.power_of_two),
            ..self.scheme
        };
        let scheme = settled(scheme);
        Self {
            avoid_saturation: over.avoid_saturation.unwrap_or(self.avoid_saturation),
            scheme,
            granularity: match granularity_stated {
                true => over.granularity.unwrap_or(self.granularity),
                false if blocks => Granularity::PerBlock,
                false => Granularity::PerChannel,
            },
            symmetric_stated,
            granularity_stated,
            block_size: over.block_size.unwrap_or(self.block_size),
            form: over.form.unwrap_or(self.form),
            codes: over.dtype.map_or(self.codes, codes),
            range: over.range.unwrap_or(self.range),
            bias: over.bias.unwrap_or(self.bias),
        }
    }

    /// The same in `mode`: where activations are integers, too, what nobody stated is one scale for each channel and no zero point,
    /// whatever the type.
    pub(in crate::policy) fn in_mode(self, mode: Mode) -> Self {
        if mode != Mode::Static || self.granularity_stated || self.scheme.dtype.bits() == 8 {
            return self;
        }
        let symmetric = self.scheme.symmetric || !self.symmetric_stated;
        Self { granularity: Granularity::PerChannel, scheme: settled(Scheme { symmetric, ..self.scheme }), ..self }
    }

    /// Whether the scales of least error are searched for: the search knows integers alone.
    pub fn searches(self) -> bool {
        self.range != WeightRange::Minmax && !self.scheme.dtype.is_float()
    }

    /// Whether the largest of them are to be so small that kernels which add two products in 16 bits do not saturate: those
    /// kernels read symmetric int8.
    pub fn guarded(self) -> bool {
        self.avoid_saturation
            && self.scheme.dtype == GridType::Int8
            && self.scheme.symmetric
            && !self.scheme.reduce_range
    }

    /// The oldest operator set that stores such weights; `contrib` says whether ONNX Runtime's own domain may be used.
    pub(super) fn opset(self, contrib: bool) -> i64 {
        match (self.scheme.dtype, self.granularity) {
            _ if self.form == WeightForm::Contrib => OLDEST_OPSET,
            (GridType::Int2 | GridType::Uint2, _) => 25,
            (_, Granularity::PerBlock) => 21,
            (GridType::Int4 | GridType::Uint4, _) if !contrib => 21,
            (GridType::Float8(_), _) => FLOAT8_OPSET,
            _ => OLDEST_OPSET,
        }
    }

    /// Why it cannot be in `mode` and `format`, with the key to blame.
    pub(in crate::policy) fn trouble(self, mode: Mode, format: Format) -> Option<(&'static str, &'static str)> {
        let bits = self.scheme.dtype.bits();
        let contrib = self.form == WeightForm::Contrib;
        match mode {
            Mode::Static if contrib => Some(("form", CONTRIB)),
            _ if self.scheme.dtype.is_float() && self.scheme.reduce_range => Some(("reduce_range", REDUCED_FLOAT)),
            Mode::Dynamic if self.scheme.dtype.is_float() => Some(("type", DYNAMIC_FLOAT)),
            Mode::Static | Mode::Dynamic if self.codes.is_some() => Some(("type", CODES_ALONE)),
            Mode::Static if bits < 8 && format == Format::Qoperator => Some(("type", OPERATORS)),
            Mode::Static if bits < 4 => Some(("type", TWO_BITS)),
            Mode::Dynamic if bits < 8 => Some(("type", FOUR_BITS)),
            Mode::Static | Mode::Dynamic if self.granularity == Granularity::PerBlock => Some(("granularity", BLOCKS)),
            Mode::Static | Mode::Dynamic if !self.scheme.symmetric && self.granularity == Granularity::PerChannel => {
                Some(("symmetric", ASYMMETRIC_CHANNELS))
            }
            Mode::WeightOnly if self.codes.is_some() && !contrib => Some(("type", CODES)),
            Mode::WeightOnly if self.codes.is_some() && self.scheme.power_of_two => Some(("power_of_two", NO_STEPS)),
            Mode::WeightOnly if contrib && self.granularity != Granularity::PerBlock => {
                Some(("granularity", CONTRIB_BLOCKS))
            }
            Mode::WeightOnly if contrib && !CONTRIB_SIZES.contains(&self.block_size) => {
                Some(("block_size", CONTRIB_SIZE))
            }
            Mode::WeightOnly if self.scheme.reduce_range => Some(("reduce_range", REDUCED)),
            Mode::Static | Mode::Dynamic | Mode::WeightOnly | Mode::Float16 | Mode::Bfloat16 | Mode::Float32 => {
                self.range_trouble(mode)
            }
        }
    }
}

const CONTRIB: &str = "form: contrib is for weights alone, and for grids that each run finds; remove it, or set mode: weight-only or dynamic";

const CODES: &str =
    "only MatMulBnb4 reads nf4 and fp4, in blocks; set form: contrib and granularity: per_block, or type: int4";

const CODES_ALONE: &str = "nf4 and fp4 are for weights alone; set mode: weight-only with form: contrib and granularity: per_block, or \
     type: int8";

const NO_STEPS: &str = "nf4 and fp4 have no steps of one length; remove it";

const CONTRIB_BLOCKS: &str = "the operators of form: contrib read blocks; set granularity: per_block";

const CONTRIB_SIZE: &str =
    "the operators of form: contrib read blocks of 16, 32, 64, 128 or 256 weights; set one of these";

/// What ONNX Runtime's MatMulNBits takes.
const CONTRIB_SIZES: [usize; 5] = [16, 32, 64, 128, 256];

/// The code book of a type that has one.
fn codes(name: WeightTypeName) -> Option<CodeBook> {
    match name {
        WeightTypeName::Nf4 => Some(CodeBook::Nf4),
        WeightTypeName::Fp4 => Some(CodeBook::Fp4),
        _ => None,
    }
}

const REDUCED_FLOAT: &str = "reduce_range is for integer kernels, and float8 has none; remove it";

const DYNAMIC_FLOAT: &str =
    "kernels for grids that each run finds take integers; set type: int8, or mode: static or weight-only";

const FOUR_BITS: &str =
    "kernels for grids that each run finds take weights of 8 bits; set type: int8, or mode: static or weight-only";

const TWO_BITS: &str =
    "kernels for integer activations take weights of 4 or 8 bits; set type: int4 or int8, or mode: weight-only";

const OPERATORS: &str = "operators on integers read weights of 8 bits; set type: int8, or format: qdq";

const BLOCKS: &str =
    "kernels for integer activations take one scale per channel; set granularity: per_channel, or mode: weight-only";

/// Runtimes need one zero point for all channels.
const ASYMMETRIC_CHANNELS: &str =
    "per_channel weights are symmetric: runtimes need zero point 0; set granularity: per_tensor or symmetric: true";

const REDUCED: &str = "reduce_range is for integer kernels, and mode weight-only has none; remove it";

impl From<WeightTypeName> for GridType {
    fn from(name: WeightTypeName) -> Self {
        match name {
            WeightTypeName::Int8 => Self::Int8,
            WeightTypeName::Uint8 => Self::Uint8,
            WeightTypeName::Int4 => Self::Int4,
            WeightTypeName::Int2 => Self::Int2,
            WeightTypeName::Uint2 => Self::Uint2,
            // Codes are as large, and stored unsigned.
            WeightTypeName::Uint4 | WeightTypeName::Nf4 | WeightTypeName::Fp4 => Self::Uint4,
            WeightTypeName::Float8e4m3fn => Self::Float8(Float8::E4m3fn),
            WeightTypeName::Float8e5m2 => Self::Float8(Float8::E5m2),
        }
    }
}
