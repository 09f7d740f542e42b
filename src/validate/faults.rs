//! What makes a comparison a failure, whatever its limits.

use super::compare::Comparison;
use super::three_way::Verdict;
use std::fmt;

/// Something that no limit can allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An output has elements that are NaN or infinite where the other model's are not.
    NotFinite {
        /// The output.
        output: String,
        /// How many elements.
        elements: u64,
    },
    /// The runtime that was asked for does not run the model.
    Refused {
        /// Its name and version.
        runtime: String,
        /// Its words.
        why: String,
    },
    /// It computes something else than the re-execution even without optimizations.
    Disagreement {
        /// Its name and version.
        runtime: String,
        /// The output.
        output: String,
    },
    /// What was recorded elsewhere is neither model's.
    Recorded {
        /// Where it was recorded to.
        path: String,
        /// The output.
        output: String,
    },
    /// The quantized model falls over a crash test that it has to stand.
    Stress {
        /// The name of the case.
        case: String,
        /// What is in it, and what came of it.
        what: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { output, elements } => {
                write!(f, "output {output}: {elements} elements are NaN or infinite where the other model's are not")
            }
            Self::Refused { runtime, why } => write!(f, "{runtime} does not run the model: {why}"),
            Self::Disagreement { runtime, output } => {
                write!(
                    f,
                    "output {output}: {runtime} computes something else, even without optimizations: please report"
                )
            }
            Self::Recorded { path, output } => {
                write!(f, "output {output}: what {path} holds is neither the float model's nor the quantized one's")
            }
            Self::Stress { case, what } => write!(f, "crash test {case} failed: {what}"),
        }
    }
}

impl Comparison {
    /// What makes this comparison a failure, whatever its limits.
    pub fn faults(&self) -> Vec<Fault> {
        let broken = self.outputs.iter().filter(|output| output.not_finite > 0);
        let mut faults: Vec<Fault> = broken
            .map(|output| Fault::NotFinite { output: output.name.clone(), elements: output.not_finite })
            .collect();
        if let Some(reference) = &self.reference {
            let runtime = &reference.runtime;
            let refused = reference.default.refused.iter();
            faults.extend(refused.map(|why| Fault::Refused { runtime: runtime.clone(), why: why.clone() }));
            let apart = reference.outputs.iter().filter(|output| output.verdict == Verdict::Disagreement);
            faults.extend(
                apart.map(|output| Fault::Disagreement { runtime: runtime.clone(), output: output.name.clone() }),
            );
        }
        if let Some(recorded) = &self.recorded {
            let apart = recorded.outputs.iter().filter(|output| output.verdict == Verdict::Disagreement);
            faults.extend(
                apart.map(|output| Fault::Recorded { path: recorded.path.clone(), output: output.name.clone() }),
            );
        }
        let fell = self.stress.iter().flat_map(|stress| stress.cases.iter().filter(|case| case.is_failed()));
        faults.extend(fell.map(|case| Fault::Stress {
            case: case.name.clone(),
            what: match (&case.runtime, case.verdict.is_bad()) {
                (Some(runtime), false) => format!("{}, {runtime}", case.what),
                _ => format!("{}, {}", case.what, case.verdict),
            },
        }));
        faults
    }
}
