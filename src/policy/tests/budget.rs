//! Budgets, and the policies that come of them.

use super::*;
use crate::policy::{BudgetType, FoundRule, Goal, recipe};

fn budget(text: &str) -> crate::policy::Budget {
    settings(&format!("version: 1\nbudget: {text}")).expect("a policy").budget.expect("a budget")
}

#[test]
fn a_budget_has_one_goal_and_types_that_help_to_reach_it() {
    let usual = budget("{ sqnr_db: 30 }");
    assert_eq!((usual.goal, usual.types, usual.samples), (Goal::SqnrDb(30.0), vec![BudgetType::Float32], 32));
    let guesses = budget("{ top1_drop: 0.005, types: [float32, int16, float32], samples: 7 }");
    assert_eq!((guesses.goal, guesses.samples), (Goal::Top1Drop(0.005), 7));
    assert_eq!(guesses.types, [BudgetType::Int16, BudgetType::Float32], "the cheaper one first");
    assert_eq!(budget("{ top1_drop: 0 }").samples, 1000);
    assert_eq!(budget("{ size_mb: 4 }").types, [BudgetType::Int4]);
    assert!(settings("version: 1").expect("a policy").budget.is_none());
    let one = "must have one of top1_drop, sqnr_db and size_mb";
    fails("budget: {}", 2, 9, one);
    fails("budget: { sqnr_db: 3, size_mb: 4 }", 2, 9, one);
    fails("budget: { size_mb: 0 }", 2, 20, "must be a finite number above 0; found 0");
    fails("budget: { sqnr_db: .inf }", 2, 20, "must be a finite number above 0; found inf");
    fails("budget: { top1_drop: -0.1 }", 2, 22, "must be from 0 to 1; found -0.1");
    fails("budget: { size_mb: 4, types: float32 }", 2, 30, "float32 does not help to keep size_mb; name some of int4");
    fails(
        "budget: { sqnr_db: 4, types: int4 }",
        2,
        30,
        "int4 does not help to keep sqnr_db; name some of int16, float16, float32",
    );
    fails("budget: { sqnr_db: 4, types: [] }", 2, 30, "must name at least one type");
    fails("budget: { sqnr_db: 4, samples: 0 }", 2, 32, "must be 1 or more");
    fails("mode: dynamic\nbudget: { sqnr_db: 4 }", 3, 9, "is searched for in mode static; set that, or remove this");
    let why = "leaves layers in float, which strict: true does not let be; remove one of the two, or take types: int16";
    fails("strict: true\nbudget: { sqnr_db: 4 }", 3, 9, why);
    let why =
        "is searched for on samples that do not calibrate, and data.validation.samples is 0; leave one of the two out";
    fails("data: { validation: { samples: 0 } }\nbudget: { sqnr_db: 4 }", 3, 9, why);
}

fn found() -> Vec<FoundRule> {
    let rule = |node: &str, kind| FoundRule { node: node.to_owned(), kind, why: "22 dB -> 24 dB".to_owned() };
    vec![
        rule("/a[0]/", BudgetType::Float32),
        rule("b*", BudgetType::Int16),
        rule("c: #", BudgetType::Float16),
        rule("d \"e\"", BudgetType::Int4),
    ]
}

#[test]
fn a_found_rule_names_its_node_and_no_other() {
    for rule in found() {
        let pattern = rule.rule().expect("a rule").node.expect("a pattern");
        assert!(pattern.matches(&rule.node), "{}", rule.node);
        for other in ["/a0/", "a0", "bb", "c:", "d e"] {
            assert!(!pattern.matches(other), "{} matches {other}", rule.node);
        }
    }
}

/// The recipe of a policy in a folder, and what it says.
fn recipe_of(own: &str) -> (String, Settings) {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, to) = (folder.path().join("p.yaml"), folder.path().join("q.yaml"));
    std::fs::write(&path, own).expect("written");
    let mut settings = crate::policy::load(&path).and_then(|raw| raw.settings()).expect("a policy");
    settings.budget = None;
    let named = |path: &Path| Ok(path.file_name().expect("a name").to_string_lossy().into_owned());
    let text = recipe(&settings, &found(), &to, &named).expect("a recipe");
    settings.rules.extend(found().iter().map(|rule| rule.rule().expect("a rule")));
    let read = Raw::parse(&text, &to).and_then(|raw| raw.settings()).expect("a policy");
    assert_eq!(read.canonical(), settings.canonical(), "{text}");
    (text, read)
}

#[test]
fn a_policy_keeps_its_text_but_for_the_budget() {
    let (text, _) = recipe_of("version: 1\n# one\nbudget:\n  sqnr_db: 30\n  # of the budget\nmodel: m.onnx # two\n");
    assert!(
        text.starts_with("version: 1\n# one\nmodel: m.onnx # two\nrules:\n  # 22 dB -> 24 dB\n  - { match: "),
        "{text}"
    );
    let own = "rules:\n- match: { op_type: Add }\n  quantize: false # three\n\nbudget: { size_mb: 3 }\nversion: 1\n";
    let (text, read) = recipe_of(own);
    assert!(text.starts_with("rules:\n- match: { op_type: Add }\n  quantize: false # three\n# 22 dB"), "{text}");
    assert!(text.ends_with("reason: the budget asks for it }\n\nversion: 1\n"), "{text}");
    assert_eq!(read.rules.len(), 5);
}

#[test]
fn a_policy_in_another_style_is_written_anew() {
    for own in [
        "{ version: 1, budget: { sqnr_db: 30 }, rules: [{ match: { op_type: Add }, quantize: false }] }",
        "version: 1\nbudget: { sqnr_db: 30 }\nrules: [{ match: { op_type: Add }, quantize: false }]\n",
    ] {
        let (text, read) = recipe_of(own);
        assert_eq!(read.rules.len(), 5, "{text}");
        assert!(!text.contains("budget:") && text.contains("# 22 dB -> 24 dB"), "{text}");
    }
}
