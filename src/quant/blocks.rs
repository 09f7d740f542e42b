//! Arrays cut into blocks along an axis, each with a grid of its own: what DequantizeLinear does with a `block_size` since
//! opset 21. The last block of an axis may be shorter than the others.

use super::array::{Step, Steps, extremes, higher, lower};
use super::half::HalfType;
use super::params::Params;
use super::scheme::Scheme;
use super::search::{Line, SIDE_BY_SIDE, best_by_norm, best_grids};
use std::ops::Range;

/// How an array is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    /// Index combinations before the axis.
    rows: usize,
    /// The length of the axis.
    length: usize,
    /// Index combinations behind it.
    columns: usize,
    /// Elements along the axis that share a grid.
    size: usize,
}

/// A part of an array that begins and ends with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where its elements are in the array.
    pub values: Range<usize>,
    /// Where its grids are among those of the array.
    pub grids: Range<usize>,
    /// How the part itself is cut.
    pub blocks: Blocks,
}

/// Elements of a piece: enough to be worth a turn of a thread, few enough for its cache.
const PIECE: usize = 1 << 18;
/// Pieces end at a multiple of so many elements: at a whole byte, whatever their bits.
const WHOLE_BYTES: usize = 8;

impl Blocks {
    /// An array of shape `shape`, cut along `axis` into blocks of `size` elements, at least one.
    pub fn new(shape: &[usize], axis: usize, size: usize) -> Self {
        let (rows, columns) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
        // A policy may ask for blocks longer than any axis.
        Self { rows, length: shape[axis], columns, size: size.clamp(1, shape[axis].max(1)) }
    }

    /// How many blocks lie along the axis.
    pub fn along(&self) -> usize {
        self.length.div_ceil(self.size)
    }

    /// How many there are in all.
    pub fn count(&self) -> usize {
        self.rows * self.along() * self.columns
    }

    /// The array in pieces that can be worked on side by side, in the order of their elements. All but the last end at a
    /// multiple of eight elements.
    pub fn pieces(&self) -> Vec<Piece> {
        let Self { rows, length, columns, size } = *self;
        let (line, along) = (length * columns, self.along());
        let several = |each: usize| PIECE.div_ceil(each.max(1)).next_multiple_of(WHOLE_BYTES);
        if line <= PIECE || rows > 1 && line % WHOLE_BYTES != 0 {
            let step = if line <= PIECE { several(line) } else { WHOLE_BYTES };
            let piece = |from: usize| {
                let to = (from + step).min(rows);
                let grids = from * along * columns..to * along * columns;
                Piece { values: from * line..to * line, grids, blocks: Self { rows: to - from, ..*self } }
            };
            return (0..rows).step_by(step).map(piece).collect();
        }
        let step = several(size * columns);
        let piece = |row: usize, from: usize| {
            let to = (from + step).min(along);
            let (start, end) = (from * size, (to * size).min(length));
            let values = row * line + start * columns..row * line + end * columns;
            let grids = (row * along + from) * columns..(row * along + to) * columns;
            Piece { values, grids, blocks: Self { rows: 1, length: end - start, ..*self } }
        };
        (0..rows).flat_map(|row| (0..along).step_by(step).map(move |from| piece(row, from))).collect()
    }

    /// Each line of neighbouring elements, `columns` of them, with the first of their grids.
    fn lines(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        let Self { rows, length, columns, size } = *self;
        let along = self.along();
        (0..rows * length).map(move |line| {
            let (row, at) = (line / length, line % length);
            (line * columns..(line + 1) * columns, (row * along + at / size) * columns)
        })
    }

    /// Each block of `values`, where the elements of a block are neighbours.
    fn runs<'a>(&self, values: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        values.chunks(self.length.max(1)).flat_map(|row| row.chunks(self.size))
    }

    /// The grids that cover each block of `values`, in the order of the scales of DequantizeLinear.
    pub fn min_max(&self, values: &[f32], scheme: Scheme) -> Vec<Params> {
        if self.columns == 1 {
            let ends = self.runs(values).map(extremes);
            return ends.map(|(low, high)| Params::from_range(low, high, scheme)).collect();
        }
        let (mut lows, mut highs) = (vec![0f32; self.count()], vec![0f32; self.count()]);
        for (line, first) in self.lines() {
            let grids = first..first + self.columns;
            lows[grids.clone()].iter_mut().zip(&values[line.clone()]).for_each(|(low, &v)| *low = lower(v, *low));
            highs[grids].iter_mut().zip(&values[line]).for_each(|(high, &v)| *high = higher(v, *high));
        }
        lows.into_iter().zip(highs).map(|(low, high)| Params::from_range(low, high, scheme)).collect()
    }

    /// Gives each grid the scale of least square error and, unless it is `symmetric`, a zero point at most one beside its own.
    pub fn least_error(&self, values: &[f32], grids: &mut [Params], symmetric: bool) {
        self.side_by_side(values, grids, |tile, grids| best_grids(tile, grids, symmetric));
    }

    /// Gives each grid the scale and the zero point, at most one beside its own, of the least norm below the first power. Scales are of
    /// the type `kind`, if there is one.
    pub fn least_norm(&self, values: &[f32], grids: &mut [Params], kind: Option<HalfType>) {
        self.side_by_side(values, grids, |tile, grids| best_by_norm(tile, grids, kind));
    }

    /// Shows blocks to a search, several side by side, with the grids that it is to better.
    fn side_by_side(
        &self,
        values: &[f32],
        grids: &mut [Params],
        search: impl Fn(&[Line], &mut [Params; SIDE_BY_SIDE]),
    ) {
        // Where block `index` begins among the values, and how long it is.
        let place = |index: usize| {
            let (block, column) = (index / self.columns, index % self.columns);
            let (row, from) = (block / self.along(), block % self.along() * self.size);
            ((row * self.length + from) * self.columns + column, self.size.min(self.length - from))
        };
        let mut tile: Vec<Line> = Vec::with_capacity(self.size);
        for (group, own) in grids.chunks_mut(SIDE_BY_SIDE).enumerate() {
            // Where blocks are fewer, the last stands in all other places.
            let mut tiled: [Params; SIDE_BY_SIDE] = std::array::from_fn(|i| own[i.min(own.len() - 1)]);
            let index = group * SIDE_BY_SIDE;
            let neighbours = own.len() == SIDE_BY_SIDE && index % self.columns + SIDE_BY_SIDE <= self.columns;
            tile.clear();
            if neighbours {
                let (first, count) = place(index);
                let lines = values[first..].chunks(self.columns).take(count);
                tile.extend(lines.filter_map(<[f32]>::first_chunk::<SIDE_BY_SIDE>));
            } else {
                let places: [_; SIDE_BY_SIDE] = std::array::from_fn(|i| place(index + i.min(own.len() - 1)));
                let longest = places.iter().fold(0, |most, place| most.max(place.1));
                // Zeros have no error: a shorter block may end with them.
                tile.resize(longest, [0.0; SIDE_BY_SIDE]);
                for (lane, (start, count)) in places.into_iter().enumerate() {
                    let own = values[start..].iter().step_by(self.columns).take(count);
                    tile.iter_mut().zip(own).for_each(|(line, &v)| line[lane] = v);
                }
            }
            search(&tile, &mut tiled);
            own.copy_from_slice(&tiled[..own.len()]);
        }
    }

    /// Integers of `values`, a byte each (two's complement for signed types), or two for 16 bits.
    pub fn quantize(&self, values: &[f32], grids: &[Params]) -> Vec<u8> {
        let mut out = vec![0; values.len()];
        if let Some(kind) = grids.first().and_then(|grid| grid.dtype.float8()) {
            for (line, first) in self.lines() {
                let numbers = out[line.clone()].iter_mut().zip(&values[line]);
                numbers.zip(&grids[first..]).for_each(|((q, &v), grid)| *q = kind.encode(v / grid.scale));
            }
            return out;
        }
        if grids.first().is_some_and(|grid| grid.dtype.bits() == 16) {
            let integer = |(&v, grid): (&f32, &Params)| (grid.quantize(v) as u16).to_le_bytes();
            let lines = self.lines().flat_map(|(line, first)| values[line].iter().zip(&grids[first..]));
            return lines.flat_map(integer).collect();
        }
        if self.columns == 1 {
            let mut rest = out.as_mut_slice();
            for (run, step) in self.runs(values).zip(grids.iter().map(Step::new)) {
                let (own, behind) = rest.split_at_mut(run.len());
                own.iter_mut().zip(run).for_each(|(q, &v)| *q = step.quantize(v));
                rest = behind;
            }
            return out;
        }
        let steps = Steps::new(grids.iter().map(Step::new));
        for (line, first) in self.lines() {
            steps.quantize(&values[line.clone()], first, &mut out[line]);
        }
        out
    }
}

/// Integers, a byte each, as ONNX stores those of `bits` bits: several in a byte, from the low bits up.
pub fn pack(integers: Vec<u8>, bits: u32) -> Vec<u8> {
    if bits >= 8 {
        return integers;
    }
    let (each, mask) = ((8 / bits) as usize, (1u8 << bits) - 1);
    let byte = |group: &[u8]| group.iter().rev().fold(0u8, |byte, &q| byte << bits | q & mask);
    let mut packed = Vec::with_capacity(integers.len().div_ceil(each));
    let (pairs, rest) = integers.as_chunks::<2>();
    if bits == 4 {
        packed.extend(pairs.iter().map(|[low, high]| low & mask | high << 4));
        packed.extend(rest.iter().map(|q| q & mask));
    } else {
        packed.extend(integers.chunks(each).map(byte));
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::super::{Cut, GridType};
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i * 7919 % 1009) as f32 / 100.0 - 4.0).collect()
    }

    fn scheme(dtype: GridType, symmetric: bool) -> Scheme {
        Scheme::new(dtype, symmetric)
    }

    fn grid_of(element: usize, shape: &[usize], axis: usize, size: usize) -> usize {
        Cut::new(shape, Some(axis), Some(size)).expect("an axis").grid(element)
    }

    #[test]
    fn every_number_is_on_the_grid_of_its_block() {
        for shape in [&[5, 7, 4][..], &[1, 40, 3], &[40, 1], &[3, 100], &[64]] {
            let values = numbers(shape.iter().product());
            for axis in 0..shape.len() {
                for (size, dtype) in
                    [(1, GridType::Int8), (3, GridType::Uint4), (16, GridType::Int4), (999, GridType::Uint8)]
                {
                    let symmetric = matches!(dtype, GridType::Int8 | GridType::Int4);
                    let blocks = Blocks::new(shape, axis, size);
                    let mut grids = blocks.min_max(&values, scheme(dtype, symmetric));
                    assert_eq!(grids.len(), blocks.count());
                    for (index, grid) in grids.iter().enumerate() {
                        let own = (0..values.len()).filter(|&i| grid_of(i, shape, axis, size) == index);
                        let (low, high) = own.fold((0f32, 0f32), |(l, h), i| (l.min(values[i]), h.max(values[i])));
                        assert_eq!(*grid, Params::from_range(low, high, scheme(dtype, symmetric)));
                    }
                    let wide = grids.clone();
                    blocks.least_error(&values, &mut grids, symmetric);
                    let error = |grids: &[Params]| -> f64 {
                        let of = |i: usize| &grids[grid_of(i, shape, axis, size)];
                        let off = |(i, v): (usize, &f32)| f64::from(of(i).dequantize(of(i).quantize(*v)) - v).powi(2);
                        values.iter().enumerate().map(off).sum()
                    };
                    // Where a block is on its grid already, a search in float32 may leave it by what float32 has of error.
                    let nothing = 1e-6 * f64::from(wide.iter().fold(0f32, |most, grid| most.max(grid.scale)).powi(2));
                    let (found, before) = (error(&grids), error(&wide));
                    assert!(found <= before * 1.0001 + nothing, "{shape:?} {axis} {size} {dtype}: {found} {before}");
                    for (i, &q) in blocks.quantize(&values, &grids).iter().enumerate() {
                        let signed = dtype.limits().0 < 0;
                        let found = if signed { i32::from(q as i8) } else { i32::from(q) };
                        assert_eq!(found, grids[grid_of(i, shape, axis, size)].quantize(values[i]));
                    }
                }
            }
        }
    }

    #[test]
    fn pieces_are_the_array_and_end_at_whole_bytes() {
        let shapes: [(&[usize], usize, usize); 7] = [
            (&[70_000, 9], 1, 4),
            (&[3, 300_007], 1, 32),
            (&[2, 300_008], 1, 5),
            (&[1, 600_001], 1, 16),
            (&[4000, 200], 0, 32),
            (&[5, 3], 0, 2),
            (&[11, 0], 1, 2),
        ];
        for (shape, axis, size) in shapes {
            let values = numbers(shape.iter().product());
            let blocks = Blocks::new(shape, axis, size);
            let whole = blocks.min_max(&values, scheme(GridType::Int4, true));
            let (mut grids, mut packed, mut end) = (vec![], vec![], 0);
            for piece in blocks.pieces() {
                assert!(piece.values.start == end && end % WHOLE_BYTES == 0 && piece.grids.start == grids.len());
                end = piece.values.end;
                let own = piece.blocks.min_max(&values[piece.values.clone()], scheme(GridType::Int4, true));
                packed.extend(pack(piece.blocks.quantize(&values[piece.values], &own), 4));
                grids.extend(own);
                assert_eq!(piece.grids.end, grids.len());
            }
            assert_eq!((end, &grids), (values.len(), &whole), "{shape:?}");
            assert!(packed == pack(blocks.quantize(&values, &whole), 4), "{shape:?}");
        }
    }

    #[test]
    fn zeros_stay_zeros_and_equal_weights_stay_equal() {
        let mut values = numbers(200);
        values.iter_mut().step_by(3).for_each(|v| *v = 0.0);
        for (dtype, symmetric) in [(GridType::Int4, true), (GridType::Int4, false), (GridType::Uint4, false)] {
            let blocks = Blocks::new(&[200], 0, 32);
            let mut grids = blocks.min_max(&values, scheme(dtype, symmetric));
            blocks.least_error(&values, &mut grids, symmetric);
            let integers = blocks.quantize(&values, &grids);
            for (i, &v) in values.iter().enumerate().filter(|(_, v)| **v == 0.0) {
                assert_eq!(i32::from(integers[i] as i8), grids[i / 32].zero_point, "{v} by {dtype}");
            }
        }
    }

    #[test]
    fn nibbles_fill_a_byte_from_below() {
        assert_eq!(pack(vec![0x01, 0xff, 0x07], 4), [0xf1, 0x07]);
        assert_eq!(pack(vec![0x01, 0xff], 8), [0x01, 0xff]);
        assert_eq!(pack(vec![1, 2, 3, 0, 1], 2), [0b0011_1001, 1]);
    }
}
