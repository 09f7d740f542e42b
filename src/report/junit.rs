//! What was judged, as JUnit XML: a case for each demand, output and verdict, so that a CI server shows them beside other tests.

use super::entities::entity;
use crate::error::Result;
use crate::file;
use crate::validate::{AtLevel, Check, Comparison, Fault, Outcome};
use std::fmt::Write;
use std::path::Path;

/// What a file of JUnit XML says.
pub struct JUnit<'a> {
    /// The quantized model, as the user named it.
    pub model: &'a str,
    /// The comparison, or why there is none.
    pub compared: std::result::Result<&'a Comparison, &'a str>,
    /// What was demanded.
    pub checks: &'a [Check],
}

/// One case. Where there is something to say of it, it failed or was not settled, which readers show as skipped.
struct Case {
    /// What it is about.
    class: String,
    name: String,
    outcome: Outcome,
    /// In a line.
    message: String,
    /// What was measured, whatever came of it.
    told: String,
}

impl Case {
    fn new(class: &str, name: impl Into<String>, failed: Option<String>, told: impl Into<String>) -> Self {
        let outcome = if failed.is_some() { Outcome::Missed } else { Outcome::Met };
        let (class, message) = (format!("tare.{class}"), failed.unwrap_or_default());
        Self { class, name: name.into(), outcome, message, told: told.into() }
    }
}

/// Writes what was judged to `path`, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn save_junit(judged: &JUnit<'_>, path: &Path) -> Result<()> {
    file::write_atomically(path, junit(judged).as_bytes())
}

/// The same as text. There is no time of day in it: the same comparison gives the same bytes.
fn junit(judged: &JUnit<'_>) -> String {
    let cases = cases(judged);
    let count = |outcome: Outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let (tests, failures, skipped) = (cases.len(), count(Outcome::Missed), count(Outcome::Unsettled));
    let name = escape(judged.model);
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"0\"");
    let _ = writeln!(text, "<testsuites name=\"tare\" {counts}>\n  <testsuite name=\"{name}\" {counts}>");
    for Case { class, name, outcome, message, told } in &cases {
        let (class, name, message, told) = (escape(class), escape(name), escape(message), escape(told));
        let _ = writeln!(text, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"0\">");
        let _ = match outcome {
            Outcome::Met => Ok(()),
            Outcome::Missed => {
                let body = if told.is_empty() { &message } else { &told };
                writeln!(text, "      <failure type=\"{class}\" message=\"{message}\">{body}</failure>")
            }
            Outcome::Unsettled => writeln!(text, "      <skipped message=\"{message}\"/>"),
        };
        if !told.is_empty() {
            let _ = writeln!(text, "      <system-out>{told}</system-out>");
        }
        text.push_str("    </testcase>\n");
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn cases(judged: &JUnit<'_>) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    match judged.compared {
        Err(why) => cases.push(Case {
            outcome: Outcome::Unsettled,
            message: format!("the two models were not compared: {why}"),
            ..Case::new("validation", "comparison", None, "")
        }),
        Ok(comparison) => cases.extend(compared(comparison)),
    }
    cases.extend(judged.checks.iter().map(|check| {
        let words = check.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let message = if check.outcome == Outcome::Met { String::new() } else { words.clone() };
        let name = match &check.output {
            Some(output) => format!("{} ({output})", check.threshold),
            None => check.threshold.to_owned(),
        };
        Case { outcome: check.outcome, message, ..Case::new("limit", name, None, words) }
    }));
    cases
}

/// Outputs, what a runtime and a recording say, and layers.
fn compared(comparison: &Comparison) -> Vec<Case> {
    let faults = comparison.faults();
    let failed = |of: &dyn Fn(&Fault) -> bool| faults.iter().find(|fault| of(fault)).map(ToString::to_string);
    let output = |output: &crate::validate::OutputError| {
        let broken = failed(&|fault| matches!(fault, Fault::NotFinite { output: name, .. } if *name == output.name));
        Case::new("output", &output.name, broken, output.to_string())
    };
    let mut cases: Vec<Case> = comparison.outputs.iter().map(output).collect();
    let tasks = comparison.tasks.iter();
    cases.extend(tasks.map(|task| Case::new("task", &task.output, None, task.to_string().trim())));
    if let Some(classes) = &comparison.classification {
        cases.push(Case::new("task", &classes.output, None, classes.to_string().trim()));
    }
    if let Some(reference) = &comparison.reference {
        let refused = failed(&|fault| matches!(fault, Fault::Refused { .. }));
        let name = format!("{} runs the model", reference.runtime);
        cases.push(Case::new("reference", name, refused, ""));
        let without = |AtLevel { refused }: &AtLevel| refused.clone();
        if let Some(why) = without(&reference.disable_all) {
            let name = format!("{} runs the model without optimizations", reference.runtime);
            let message = format!("it refuses: {why}");
            cases.push(Case { outcome: Outcome::Unsettled, message, ..Case::new("reference", name, None, "") });
        }
        cases.extend(reference.outputs.iter().map(|output| {
            let is = |fault: &Fault| matches!(fault, Fault::Disagreement { output: name, .. } if *name == output.name);
            Case::new("reference", &output.name, failed(&is), output.to_string().trim())
        }));
        if let Some(layers) = &reference.layers {
            let name = "what layers hand to each other";
            cases.push(Case::new("reference-layers", name, None, layers.summary()));
            cases.extend(layers.apart().into_iter().map(|layer| {
                let message = layer.to_string().trim().to_owned();
                Case { outcome: Outcome::Unsettled, message, ..Case::new("reference-layers", &layer.value, None, "") }
            }));
        }
    }
    if let Some(recorded) = &comparison.recorded {
        cases.extend(recorded.outputs.iter().map(|output| {
            let is = |fault: &Fault| matches!(fault, Fault::Recorded { output: name, .. } if *name == output.name);
            Case::new("recorded", &output.name, failed(&is), output.to_string().trim())
        }));
    }
    if let Some(stress) = &comparison.stress {
        cases.extend(stress.cases.iter().map(|case| {
            let is = |fault: &Fault| matches!(fault, Fault::Stress { case: name, .. } if *name == case.name);
            Case::new("stress", &case.name, failed(&is), format!("{}: {}", case.what, case.verdict))
        }));
    }
    if let Some(layers) = &comparison.layers {
        let suspects = layers.suspects();
        if suspects.is_empty() {
            cases.push(Case::new("layers", "no value is off by more than its type explains", None, ""));
        }
        cases.extend(suspects.iter().map(|layer| {
            let doubt = layers.doubt().map_or(String::new(), |doubt| format!("; {doubt}"));
            let message = format!("suspect: {}{doubt}", layer.why().unwrap_or_default());
            Case { outcome: Outcome::Unsettled, message, ..Case::new("layers", &layer.value, None, "") }
        }));
    }
    cases
}

/// Text within XML 1.0, in an attribute or between tags. Characters that XML has not are replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if let Some(entity) = entity(c) {
            escaped.push_str(entity);
            continue;
        }
        match c {
            // As a reference it is not made a space in an attribute.
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            '\0'..=' ' if c != ' ' => escaped.push(char::REPLACEMENT_CHARACTER),
            '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::LimitOf;

    #[test]
    fn each_outcome_is_a_case_of_its_kind() {
        let check = |threshold, outcome| Check {
            threshold,
            limit_of: LimitOf::Policy,
            wanted: 30.0,
            found: Some(20.0),
            outcome,
            output: Some("<a & \"b\">".to_owned()),
            why: None,
        };
        let checks =
            [check("sqnr_db", Outcome::Missed), check("cosine", Outcome::Met), check("top1_drop", Outcome::Unsettled)];
        let text = junit(&JUnit { model: "a\u{1}'b'.onnx", compared: Err("there are\nnone"), checks: &checks });
        assert!(
            text.contains(
                "<testsuites name=\"tare\" tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"2\" time=\"0\">"
            )
        );
        assert!(text.contains("<testsuite name=\"a\u{fffd}&#39;b&#39;.onnx\" tests=\"4\""), "{text}");
        assert!(text.contains("classname=\"tare.limit\" name=\"sqnr_db (&lt;a &amp; &quot;b&quot;&gt;)\""), "{text}");
        let failure = "<failure type=\"tare.limit\" message=\"missed sqnr_db is 20.00000, wanted at least 30";
        assert!(text.contains(failure), "{text}");
        assert!(text.contains("<skipped message=\"the two models were not compared: there are&#10;none\"/>"), "{text}");
        assert_eq!(text.matches("<testcase ").count(), text.matches("</testcase>").count());
    }
}
