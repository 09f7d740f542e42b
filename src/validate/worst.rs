//! The samples that suffer most.

use super::metrics::{Ranking, Sums};

/// So many of them are kept.
const KEPT: usize = 8;

/// What became of one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleError {
    /// Its place among the samples that could be read, from 0.
    pub position: usize,
    /// Its name.
    pub name: String,
    /// Its class, where the data says it.
    pub label: Option<u32>,
    /// The class that the float model puts first, of a classifier.
    pub float: Option<usize>,
    /// The class that the quantized model puts first.
    pub quantized: Option<usize>,
    /// The output with the largest error beside its signal.
    pub output: String,
    /// The SQNR of that output in dB; `None` where there is no signal, or an element is not finite.
    pub sqnr_db: Option<f64>,
    /// The mean squared error of that output.
    pub mse: f64,
    /// Error beside signal, by which samples are ordered: 0 where all outputs are alike.
    ratio: f64,
}

impl SampleError {
    /// Of the sample at a place with a name, from the sums over each of `outputs`.
    pub(super) fn of(
        (position, name): (usize, &str),
        outputs: &[String],
        sums: &[Sums],
        ranking: Option<&Ranking>,
    ) -> Self {
        let ratio = |sums: &Sums| match sums {
            Sums { not_finite: 1.., .. } => f64::INFINITY,
            Sums { error: 0.0, .. } => 0.0,
            sums => sums.error / sums.reference,
        };
        let worst = sums.iter().zip(outputs).map(|(sums, output)| (ratio(sums), sums, output));
        let worst = worst.reduce(|worst, one| if one.0 > worst.0 { one } else { worst });
        let (ratio, mse, output) = worst.map_or((0.0, 0.0, String::new()), |(ratio, sums, output)| {
            (ratio, sums.error / sums.count.max(1) as f64, output.clone())
        });
        Self {
            position,
            name: name.to_owned(),
            label: ranking.and_then(|ranking| ranking.label),
            float: ranking.and_then(|ranking| ranking.float.first().copied()),
            quantized: ranking.and_then(|ranking| ranking.quantized.first().copied()),
            output,
            sqnr_db: (ratio > 0.0 && ratio.is_finite()).then(|| -10.0 * ratio.log10()),
            mse,
            ratio,
        }
    }

    /// One whose class changed from 1 to 2.
    #[cfg(test)]
    pub(crate) fn example(name: &str) -> Self {
        Self {
            position: 0,
            name: name.to_owned(),
            label: Some(1),
            float: Some(1),
            quantized: Some(2),
            output: name.to_owned(),
            sqnr_db: Some(10.0),
            mse: 0.1,
            ratio: 0.1,
        }
    }

    /// Whether the two models put different classes first.
    pub fn changed(&self) -> bool {
        self.float != self.quantized
    }
}

/// The worst of `errors`: first those whose class changed or that are not finite, then by error beside signal.
pub(super) fn worst(mut errors: Vec<SampleError>) -> Vec<SampleError> {
    errors.retain(|error| error.ratio > 0.0);
    let severe = |error: &SampleError| error.changed() || error.ratio.is_infinite();
    errors.sort_by(|a, b| severe(b).cmp(&severe(a)).then(b.ratio.total_cmp(&a.ratio)));
    errors.truncate(KEPT);
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(position: usize, reference: &[f32], quantized: &[f32]) -> SampleError {
        let ranking = Ranking::of(&[1, reference.len()], reference, quantized, Some(1));
        SampleError::of((position, "x"), &["out".to_owned()], &[Sums::of(reference, quantized)], ranking.as_ref())
    }

    #[test]
    fn a_changed_class_comes_before_a_larger_error_and_equal_samples_are_left_out() {
        let near = error(0, &[1.0, 0.99], &[0.99, 1.0]);
        let far = error(1, &[4.0, 1.0], &[9.0, 1.0]);
        let same = error(2, &[4.0, 1.0], &[4.0, 1.0]);
        let lost = error(3, &[4.0, 1.0], &[f32::NAN, 1.0]);
        assert!(near.changed() && !far.changed());
        assert_eq!((near.label, near.float, near.quantized), (Some(1), Some(0), Some(1)));
        let order: Vec<usize> = worst(vec![far, near, same, lost]).iter().map(|error| error.position).collect();
        assert_eq!(order, [3, 0, 1]);
    }

    #[test]
    fn of_several_outputs_the_one_with_most_noise_counts() {
        let sums = [Sums::of(&[10.0], &[9.0]), Sums::of(&[1.0], &[0.5])];
        let error = SampleError::of((0, "x"), &["large".to_owned(), "small".to_owned()], &sums, None);
        assert_eq!((error.output.as_str(), error.mse), ("small", 0.25));
        assert!((error.sqnr_db.expect("dB") - 6.02).abs() < 0.01);
    }

    #[test]
    fn so_many_are_kept() {
        let errors = (0..20).map(|k| error(k, &[4.0, 1.0], &[4.0 + k as f32, 1.0])).collect();
        let kept = worst(errors);
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0].position, 19);
    }
}
