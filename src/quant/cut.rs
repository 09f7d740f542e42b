//! Which of several grids each element of an array is on.

use super::known::KnownConstant;

/// An array cut as DequantizeLinear cuts it: not at all, at each index of an axis, or into blocks along it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Index combinations before the axis.
    outer: usize,
    /// The length of the axis, and index combinations behind it; 1 and 1 where all is on one grid.
    length: usize,
    inner: usize,
    /// Elements along the axis that share a grid, with each index combination of the other axes apart.
    block: Option<usize>,
}

impl Cut {
    /// An array of shape `shape`: all on one grid without an `axis`; with one, each index of it on its own, or each `block`
    /// elements along it, at least one. `None` where the shape has no such axis.
    pub fn new(shape: &[usize], axis: Option<usize>, block: Option<usize>) -> Option<Self> {
        let Some(axis) = axis else { return Some(Self { outer: 1, length: 1, inner: 1, block: None }) };
        // Beside a length of 0 others may be absurd.
        let product = |lengths: &[usize]| lengths.iter().fold(1usize, |all, &length| all.saturating_mul(length));
        let (outer, length, inner) = (product(&shape[..axis.min(shape.len())]), *shape.get(axis)?, &shape[axis + 1..]);
        Some(Self { outer, length, inner: product(inner), block: block.map(|block| block.max(1)) })
    }

    /// How many grids there are.
    pub fn count(&self) -> usize {
        match self.block {
            None => self.length,
            Some(block) => self.outer.saturating_mul(self.length.div_ceil(block)).saturating_mul(self.inner),
        }
    }

    /// The grid of element `index`, in C order: a number below [`Cut::count`]. Panics where the array has no elements.
    pub fn grid(&self, index: usize) -> usize {
        let Self { length, inner, .. } = *self;
        let at = index / inner % length;
        match self.block {
            None => at,
            Some(block) => (index / inner / length * length.div_ceil(block) + at / block) * inner + index % inner,
        }
    }
}

impl KnownConstant {
    /// Which of its grids each element is on, in a constant of shape `shape`; `None` where the shape does not have its axis.
    pub fn cut(&self, shape: &[usize]) -> Option<Cut> {
        Cut::new(shape, self.axis, self.block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_is_on_the_grid_of_its_place() {
        let grids = |shape: &[usize], axis, block| {
            let cut = Cut::new(shape, axis, block).expect("an axis");
            let all: Vec<usize> = (0..shape.iter().product()).map(|index| cut.grid(index)).collect();
            assert_eq!(all.iter().max().map_or(0, |most| most + 1), cut.count(), "{shape:?} {axis:?} {block:?}");
            all
        };
        assert_eq!(grids(&[2, 2], None, None), [0; 4]);
        assert_eq!(grids(&[], None, None), [0]);
        assert_eq!(grids(&[2, 3, 2], Some(0), None), [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
        assert_eq!(grids(&[2, 3, 2], Some(1), None), [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]);
        // In twos along the middle, the last block shorter.
        assert_eq!(grids(&[2, 3, 2], Some(1), Some(2)), [0, 1, 0, 1, 2, 3, 4, 5, 4, 5, 6, 7]);
        assert_eq!(grids(&[5], Some(0), Some(2)), [0, 0, 1, 1, 2]);
        assert_eq!(grids(&[2, 2], Some(1), Some(9)), [0, 0, 1, 1]);
    }

    #[test]
    fn shapes_without_the_axis_or_without_elements_are_no_trouble() {
        assert_eq!(Cut::new(&[2], Some(1), None), None);
        assert_eq!(Cut::new(&[], Some(0), Some(2)), None);
        let absurd = Cut::new(&[0, usize::MAX, 2], Some(0), Some(usize::MAX)).expect("an axis");
        assert_eq!(absurd.count(), 0);
    }
}
