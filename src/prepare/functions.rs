//! Operators that the model defines itself: no engine has integer kernels for them, but for what they are made of.

use crate::error::Result;
use crate::ir::{FunctionId, FunctionUses, Model};
use crate::pass::{Outcome, Pass};

/// Puts the definition of each function in the place of its calls in the main graph, and drops functions that nothing
/// calls any more. Calls in bodies of If, Loop and Scan stay, and what these call.
pub struct Inline {
    /// The pass runs twice: functions of another operator set than the model's can have the same after the upgrade.
    pub name: &'static str,
}

/// The most nodes that a model may grow to by this: functions that call others twice each double with each level.
const MOST_NODES: usize = 1 << 20;

impl Pass for Inline {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        if !model.has_functions() {
            return Ok(outcome);
        }
        let functions = model.functions();
        let uses: Vec<_> = model.function_ids().map(|id| model.function_uses(&functions, id)).collect();
        let sizes = sizes(&uses);
        let mut nodes = model.graph.node_ids().count();
        let mut open: Vec<_> = model.graph.node_ids().collect();
        while let Some(id) = open.pop() {
            let Some(called) = model.called_by(&functions, id) else { continue };
            let refusal = match sizes[called.index()] {
                None => Some("the function it calls calls itself".to_owned()),
                Some(size) if nodes.saturating_add(size) > MOST_NODES => {
                    Some(format!("in place of its calls the model would have more than {MOST_NODES} nodes"))
                }
                Some(_) => other_opset(model, called, &uses[called.index()]),
            };
            if let Some(why) = refusal {
                outcome.refuse(model.graph.label(id), why);
                continue;
            }
            import(model, called, &uses[called.index()]);
            let new = model.inline(id, called)?;
            nodes = nodes.saturating_add(new.len());
            open.extend(new);
            outcome.changed += 1;
        }
        outcome.changed += model.remove_unused_functions();
        Ok(outcome)
    }
}

/// How many nodes each function comes to when all that it calls is put in place, too; `None` if it calls itself, or one
/// that does.
fn sizes(uses: &[FunctionUses]) -> Vec<Option<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done(Option<usize>),
    }
    let mut marks = vec![Mark::New; uses.len()];
    for root in 0..uses.len() {
        // Without recursion: a chain of calls may be as long as the list of functions.
        let mut stack = vec![(root, 0)];
        while let Some(&mut (function, ref mut next)) = stack.last_mut() {
            if matches!(marks[function], Mark::Done(_)) {
                stack.pop();
                continue;
            }
            marks[function] = Mark::Open;
            let all = uses[function].calls.iter().chain(&uses[function].calls_in_bodies);
            match all.clone().nth(*next).map(|called| called.index()) {
                Some(called) => {
                    *next += 1;
                    match marks[called] {
                        Mark::New => stack.push((called, 0)),
                        Mark::Open => marks[called] = Mark::Done(None),
                        Mark::Done(_) => {}
                    }
                }
                None => {
                    let size = |called: &FunctionId| match marks[called.index()] {
                        Mark::Done(size) => size,
                        Mark::New | Mark::Open => None,
                    };
                    let inner = all.clone().map(size).try_fold(0usize, |sum, size| Some(sum.saturating_add(size?)));
                    marks[function] = Mark::Done(inner.map(|inner| inner.saturating_add(uses[function].nodes)));
                }
            }
        }
    }
    let size = |mark| match mark {
        Mark::Done(size) => size,
        Mark::New | Mark::Open => None,
    };
    marks.into_iter().map(size).collect()
}

/// Why the operators of a function may mean something else in the main graph.
fn other_opset(model: &Model, function: FunctionId, uses: &FunctionUses) -> Option<String> {
    uses.domains.iter().find_map(|domain| {
        let own = model.function_opset(function, domain)?;
        let around = model.opset(domain).filter(|version| *version != own)?;
        let name = if domain.is_empty() { "ONNX" } else { domain.as_str() };
        let label = model.function_label(function);
        Some(format!("the function {label} is written in version {own} of {name}'s operators, the model in {around}"))
    })
}

/// The model imports what the function does.
fn import(model: &mut Model, function: FunctionId, uses: &FunctionUses) {
    for domain in &uses.domains {
        if let (None, Some(version)) = (model.opset(domain), model.function_opset(function, domain)) {
            model.set_opset(domain, version);
        }
    }
}
