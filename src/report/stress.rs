//! Crash tests, as text.

use crate::validate::{CaseOutput, Saturated, Stress, StressCase, StressVerdict};
use std::fmt::{self, Display, Formatter};

/// Values shown whose numbers lie beyond their grids; the JSON report has more.
const SHOWN: usize = 5;
/// A lesser share of numbers beyond their grid, over that of samples, is not worth a line.
const SHARE: f64 = 0.01;
/// Characters shown of what refused a case: engines print whole tensors.
const WORDS: usize = 200;

impl Display for Stress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let failed = self.cases.iter().filter(|case| case.is_failed()).count();
        let beside = match self.samples {
            0 => "no samples to hold them against".to_owned(),
            samples => format!("held against {samples} samples"),
        };
        writeln!(f, "stress       {} crash tests, {beside}, seed {}: {failed} failed", self.cases.len(), self.seed)?;
        self.inputs.iter().try_for_each(|input| writeln!(f, "  input      {}: {}", input.name, input.taken))?;
        let plain = |case: &&StressCase| case.verdict == StressVerdict::Ok && case.runtime.is_none();
        for case in self.cases.iter().filter(|case| case.is_failed()) {
            writeln!(f, "  FAILED     {case}")?;
        }
        for case in self.cases.iter().filter(|case| !case.is_failed() && !plain(case)) {
            writeln!(f, "  noted      {case}")?;
        }
        let ok: Vec<&str> = self.cases.iter().filter(plain).map(|case| case.name.as_str()).collect();
        if !ok.is_empty() {
            writeln!(f, "  ok         {}", ok.join(", "))?;
        }
        for (case, value) in saturated(self) {
            let samples =
                value.share_on_samples.map_or(String::new(), |share| format!(", {} on samples", percent(share)));
            writeln!(
                f,
                "  saturated  {}: {} beyond its grid in {}{samples}",
                made(value),
                percent(value.share),
                case.name
            )?;
        }
        match &self.saturation_not_counted {
            Some(why) => writeln!(f, "  saturated  not counted: {why}"),
            None => Ok(()),
        }
    }
}

impl Display for StressCase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name, self.what, self.verdict)?;
        // The re-execution may stand what the runtime does not.
        if self.verdict == StressVerdict::Ok && self.runtime.is_some() {
            f.write_str(" as re-executed")?;
        }
        if let Some(why) = &self.refused {
            write!(f, ": {}", why.chars().take(WORDS).collect::<String>())?;
            f.write_str(if why.chars().count() > WORDS { "..." } else { "" })?;
        }
        let what: Vec<String> = self.outputs.iter().filter_map(|output| told(self.verdict, output)).collect();
        if !what.is_empty() {
            write!(f, "; {}", what.join("; "))?;
        }
        self.runtime.as_ref().map_or(Ok(()), |what| write!(f, "; {what}"))
    }
}

/// What makes the verdict, of one output.
fn told(verdict: StressVerdict, output: &CaseOutput) -> Option<String> {
    let (name, elements) = (&output.name, output.shape.iter().product::<usize>());
    let odd = output.not_finite + output.not_finite_float > 0;
    match verdict {
        StressVerdict::Far if output.far == Some(true) => {
            let noise = output.sqnr_db.map_or("no SQNR".to_owned(), |db| format!("SQNR {db:.1} dB"));
            let times = output
                .error_times
                .map_or(String::new(), |times| format!(", {times:.0} times the error of the worst sample"));
            Some(format!("{name} {noise}{times}, max abs {:.3e}", output.max_abs))
        }
        StressVerdict::NotFinite | StressVerdict::FloatNotFinite | StressVerdict::Alike if odd => {
            let (float, quantized) = (output.not_finite_float, output.not_finite);
            Some(format!("{name} has {quantized} of {elements} elements NaN or infinite, the float model {float}"))
        }
        _ => None,
    }
}

/// The values that saturate most, each with the case in which it does so most. Inputs that are far beyond their grid are so on
/// purpose.
pub(super) fn saturated(stress: &Stress) -> Vec<(&StressCase, &Saturated)> {
    let excess = |value: &Saturated| value.share - value.share_on_samples.unwrap_or(0.0);
    // Where the float model has no numbers, those of the quantized one say nothing.
    let sound = |case: &&StressCase| case.counts && matches!(case.verdict, StressVerdict::Ok | StressVerdict::Far);
    let cases = stress.cases.iter().filter(sound);
    let mut all: Vec<(&StressCase, &Saturated)> =
        cases.flat_map(|case| case.saturated.iter().map(move |value| (case, value))).collect();
    all.retain(|(_, value)| excess(value) >= SHARE && (!value.node.is_empty() || value.furthest < 1.0));
    all.sort_by(|a, b| excess(b.1).total_cmp(&excess(a.1)));
    let mut seen: Vec<&str> = Vec::new();
    all.retain(|(_, value)| {
        let new = !seen.contains(&value.value.as_str());
        seen.push(&value.value);
        new
    });
    all.truncate(SHOWN);
    all
}

/// A value with the node that makes it.
pub(super) fn made(value: &Saturated) -> String {
    match value.node.is_empty() {
        true => format!("{} (an input)", value.value),
        false => format!("{} ({} {})", value.value, value.op_type, value.node),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
