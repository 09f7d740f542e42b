//! Whether constants are the same, laid out for a kernel as they may be.

use tract_onnx::prelude::Tensor;
use tract_onnx::tract_core::tract_linalg::mmm::{MMMInputValue, PackedMatrixStorage};

/// Whether two constants hold the same numbers. Where they are laid out for a kernel, bytes tell nothing: kernels read ahead into
/// memory that nobody wrote.
pub fn same(a: &Tensor, b: &Tensor) -> bool {
    if a == b {
        return true;
    }
    if a.datum_type() != b.datum_type() || a.shape() != b.shape() {
        return false;
    }
    let packed = |tensor: &Tensor| tensor.try_storage_as::<PackedMatrixStorage>().cloned();
    let (Ok(a), Ok(b)) = (packed(a), packed(b)) else { return false };
    let alike = a.batch_shape() == b.batch_shape() && a.values().len() == b.values().len();
    alike && a.values().iter().zip(b.values()).all(|(a, b)| same_matrix(&**a, &**b))
}

/// The same of two matrices. One whose layout does not tell its numbers is like no other.
fn same_matrix(a: &dyn MMMInputValue, b: &dyn MMMInputValue) -> bool {
    if !a.format().dyn_eq(b.format()) || (a.mn(), a.k()) != (b.mn(), b.k()) {
        return false;
    }
    let (mut own, mut other) = (vec![0f32; a.k()], vec![0f32; b.k()]);
    (0..a.mn()).all(|row| {
        let told = a.extract_at_mn_f32(row, &mut own).and_then(|()| b.extract_at_mn_f32(row, &mut other));
        told.is_ok() && own.iter().zip(&other).all(|(a, b)| a.to_bits() == b.to_bits())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tract_onnx::prelude::Datum;
    use tract_onnx::tract_core::tract_linalg::mmm::EagerPackedInput;
    use tract_onnx::tract_core::tract_linalg::pack::PackedFormat;

    /// Rows of `k` numbers in the layout of a kernel, with `beyond` in the memory behind the last.
    fn packed(numbers: &[f32], k: usize, beyond: u8) -> Tensor {
        let rows = numbers.len() / k;
        let tensor = Tensor::from_shape(&[rows, k], numbers).expect("a tensor");
        let format = PackedFormat::new(f32::datum_type(), 4, 16);
        let value = format.pack_tensor(&tensor, 1, 0).expect("a layout");
        let mut own = value.downcast_ref::<EagerPackedInput>().expect("in panels").clone();
        let used = 4 * 4 * k;
        Arc::make_mut(&mut own.packed).as_bytes_mut()[used..].fill(beyond);
        PackedMatrixStorage::new(Box::new(own)).into_tensor(f32::datum_type())
    }

    #[test]
    fn what_lies_behind_the_numbers_of_a_layout_does_not_count() {
        let numbers: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let (one, other) = (packed(&numbers, 3, 1), packed(&numbers, 3, 2));
        assert_ne!(one, other);
        assert!(same(&one, &other));
        let mut changed = numbers.clone();
        changed[5] = 7.5;
        assert!(!same(&one, &packed(&changed, 3, 1)));
        assert!(!same(&one, &packed(&numbers, 4, 1)));
        let plain = Tensor::from_shape(&[4, 3], &numbers).expect("a tensor");
        assert!(same(&plain, &plain.clone()) && !same(&one, &plain));
    }
}
