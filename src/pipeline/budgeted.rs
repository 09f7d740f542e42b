//! Budget: layers get other types until the model keeps what the policy asks for, on samples that neither calibrate nor validate.

mod candidates;

use super::advised::relative;
use super::engines::Validating;
use super::validated::{Samples, output_names};
use super::{Context, Found, Planned};
use crate::budget::{self, Choice};
use crate::calibrate::Calibration;
use crate::error::{Error, Result};
use crate::exec::Types;
use crate::file;
use crate::inputs;
use crate::policy::{self, BiasCorrection, Budget, FoundRule, Goal, RoundingName, Settings, Thresholds};
use crate::progress::Silent;
use crate::report::{Assignment, BudgetSummary, CalibrationSummary, Chosen};
use crate::sensitivity::{Parts, With};
use crate::validate::{self, Classification, Comparison, Groups};
use candidates::{Candidate, candidates};
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

/// Bytes in the megabytes that files are told in.
const MEGABYTE: f64 = 1e6;
/// Below so many samples a search tells little.
const FEW: usize = 16;
/// So many samples tell which layers come first; what they are worth is measured on all.
const RANKING: usize = 16;

/// What a search found.
pub struct Searched {
    /// The settings with the rules that it added, and without the budget.
    pub settings: Settings,
    /// What it found.
    pub summary: BudgetSummary,
    /// What a user should know of it.
    pub warnings: Vec<String>,
    /// The samples that it ran, which must not validate the result.
    pub samples: BTreeSet<usize>,
    /// The rules.
    pub rules: Vec<FoundRule>,
}

/// Searches for the types with which the model of `settings` keeps `budget`.
///
/// # Errors
/// When there are too few samples, no choice keeps the budget, or anything on the way to a quantized model fails.
pub fn search(settings: &Settings, budget: &Budget, found: Found<'_>, context: &Context<'_>) -> Result<Searched> {
    let wrong = |why: String| settings.blame_key("budget", Error::other(why));
    if matches!(found, Found::Locked(_)) {
        return Err(wrong("a lock says all types already; leave out the budget, or --locked".to_owned()));
    }
    let plain = plain(settings);
    let mut base = Planned::knowing(&plain, context.known)?;
    base.check_quantizable()?;
    if base.completes {
        return Err(wrong("is for float models; what is quantized already keeps its types".to_owned()));
    }
    let samples = Samples::held_back(&plain, &base.inputs()?, &output_names(&base.original))?;
    let samples = samples.map_err(|why| wrong(format!("a budget is searched for on samples: {why}")))?;
    let (searching, checking) = split(&samples.indices, budget.samples);
    if searching.is_empty() || checking.is_empty() {
        let why = "a budget needs 2 samples or more that do not calibrate: to search on, and to check what was found";
        return Err(wrong(why.to_owned()));
    }
    // Rules cannot name what repairs add: it is not there yet when they are read.
    let named: HashSet<String> = base.plan.nodes.iter().map(|node| node.name.clone()).collect();
    let (resolved, calibration, summary) = base.find(&plain, found, context)?;
    let (written, _) = base.rewrite(&plain, &resolved, &summary)?;
    let types = base.types(samples.types())?;
    let data = (&samples.set, searching.as_slice());
    let ranking: Vec<usize> = inputs::spread(searching.len(), RANKING).into_iter().map(|at| searching[at]).collect();
    let seen = (calibration.as_ref(), types.as_ref());
    let parts = Parts::of(&base.model, &written, With::Causes).map_err(|e| e.in_model(&base.path))?;
    let parts = parts.with_groups(Groups::of(&plain, &base.original)?);
    let mut candidates = candidates(&base, &parts, seen, budget.goal, (&samples.set, &ranking), context)?;
    candidates.retain(|candidate| named.contains(&candidate.node));
    let searcher = Searcher {
        plain: &plain,
        base: &base,
        calibration: calibration.as_ref(),
        summary: &summary,
        types: types.as_ref(),
        samples: data,
        candidates: &candidates,
        validating: Validating::new(&plain, context)?,
        found,
        // One bar for the search, none for what it runs.
        context: &Context { progress: &Silent, ..*context },
    };
    let mut tried: Vec<(Choice, Assignment)> = Vec::new();
    let mut least_cost = None;
    context.progress.start("searching", budget::most_tried(candidates.len(), budget.types.len()));
    let best = budget::search(candidates.len(), &budget.types, &mut |choice| {
        if let Some((_, known)) = tried.iter().find(|(known, _)| known == choice) {
            return Ok(known.meets);
        }
        let mut found = searcher.measure(choice)?;
        found.cost /= *least_cost.get_or_insert(found.cost);
        found.meets = meets(budget.goal, &found).map_err(|why| wrong(why.to_owned()))?;
        tracing::info!(layers = found.layers, meets = found.meets, "tried {found}");
        context.progress.step();
        tried.push((choice.clone(), found));
        Ok(found.meets)
    })?;
    context.progress.finish();
    let all: Vec<Assignment> = tried.iter().map(|(_, found)| *found).collect();
    let Some((choice, found)) = best.and_then(|best| tried.iter().find(|(choice, _)| *choice == best)) else {
        let nearest = all.last().map(ToString::to_string).unwrap_or_default();
        let (goal, kinds) = (budget.goal, words(&budget.types));
        let count = candidates.len();
        return Err(wrong(format!(
            "the budget of {goal} cannot be kept: with all {count} layers that could as {kinds} it is {nearest}"
        )));
    };
    let rules: Vec<FoundRule> = choice.iter().map(|(&at, &kind)| candidates[at].rule(kind)).collect();
    let mut settings = Settings { budget: None, ..settings.clone() };
    settings.rules.extend(rules.iter().filter_map(FoundRule::rule));
    keep(&mut settings.thresholds, budget.goal, found.labelled);
    let chosen =
        rules.iter().map(|r| Chosen { node: r.node.clone(), kind: r.kind.to_string(), why: r.why.clone() }).collect();
    let by_size = matches!(budget.goal, Goal::SizeMb(_));
    let points: Vec<(f64, f64)> =
        all.iter().map(|one| (if by_size { one.bytes as f64 } else { one.cost }, loss(budget.goal, one))).collect();
    let summary = BudgetSummary {
        wanted: budget.goal,
        samples: searching.len(),
        candidates: candidates.len(),
        chosen,
        found: *found,
        front: budget::front(&points).into_iter().map(|at| all[at]).collect(),
        tried: all.len(),
    };
    let warnings = few(budget.goal, searching.len());
    Ok(Searched { settings, summary, warnings, samples: searching.into_iter().collect(), rules })
}

/// The settings by which assignments are tried: nothing is judged or handed out, and what takes long beside rounding is left out.
fn plain(settings: &Settings) -> Settings {
    let mut plain = settings.clone();
    (plain.budget, plain.thresholds) = (None, Thresholds::default());
    (plain.reference, plain.recorded, plain.stress) = (None, None, None);
    plain.repairs.refit = Some(false);
    plain.repairs.bias_correction = Some(BiasCorrection::Off);
    plain.repairs.rounding = RoundingName::Nearest;
    plain
}

/// Samples to search on, and those to check on.
fn split(indices: &[usize], most: usize) -> (Vec<usize>, Vec<usize>) {
    let even: Vec<usize> = indices.iter().copied().step_by(2).collect();
    let searching: Vec<usize> = inputs::spread(even.len(), most).into_iter().map(|at| even[at]).collect();
    let checking = indices.iter().copied().filter(|index| !searching.contains(index)).collect();
    (searching, checking)
}

/// Tries assignments.
struct Searcher<'a> {
    plain: &'a Settings,
    base: &'a Planned,
    calibration: Option<&'a Calibration>,
    summary: &'a CalibrationSummary,
    types: Option<&'a Types>,
    samples: (&'a inputs::Dataset, &'a [usize]),
    candidates: &'a [Candidate],
    validating: Validating<'a>,
    found: Found<'a>,
    context: &'a Context<'a>,
}

impl Searcher<'_> {
    /// What an assignment is worth, its cost in itself. Statistics are those of the model in which nothing has become something else; where they do not
    /// do, samples are observed anew.
    fn measure(&self, choice: &Choice) -> Result<Assignment> {
        let mut settings = self.plain.clone();
        let rules = choice.iter().filter_map(|(&at, &kind)| self.candidates[at].rule(kind).rule());
        settings.rules.extend(rules);
        let mut planned = Planned::knowing(&settings, self.context.known)?;
        let adopted = self.calibration.and_then(|known| planned.adopt(&settings, known, self.base));
        let (resolved, summary) = match adopted {
            Some(calibration) => (planned.resolve(&settings, &calibration)?, self.summary.clone()),
            None => {
                planned = Planned::knowing(&settings, self.context.known)?;
                let (resolved, _, summary) = planned.find(&settings, self.found, self.context)?;
                (resolved, summary)
            }
        };
        let (written, _) = planned.rewrite(&settings, &resolved, &summary)?;

        let engines = self.validating.engines();
        let how = (self.context.threads, self.context.progress);
        let (set, indices) = self.samples;
        let halves = indices.split_at(indices.len() / 2);
        let compare = |half| validate::compare(&self.base.original, &written, &engines, (set, half), &settings, how);
        let halves = [halves.0, halves.1].into_iter().filter(|half| !half.is_empty());
        let compared: Vec<Comparison> = halves.map(compare).collect::<Result<_>>()?;
        let guesses = drop(&compared);
        Ok(Assignment {
            layers: choice.len(),
            cost: budget::cost(&planned.plan, &planned.model.graph, self.types).max(1.0),
            bytes: written.encoded_bytes()?,
            sqnr_db: worst(&compared),
            top1_drop: guesses.map(|(drop, _)| drop),
            labelled: guesses.is_some_and(|(_, labelled)| labelled),
            meets: false,
        })
    }
}

/// The SQNR of the worst output, or part of one, in the worse half of the samples, so that what is just enough for these is so for others, too;
/// negative and infinite where one is not finite.
fn worst(halves: &[Comparison]) -> Option<f64> {
    if halves.iter().flat_map(|half| &half.outputs).any(|output| output.not_finite > 0) {
        return Some(f64::NEG_INFINITY);
    }
    halves.iter().flat_map(Comparison::parts).filter_map(|part| part.sqnr_db).reduce(f64::min)
}

/// By how much the share of right first guesses falls, or without labels of the float model's, in the worse half of the samples; and
/// whether there are labels. Among many assignments some are lucky, but seldom twice.
fn drop(halves: &[Comparison]) -> Option<(f64, bool)> {
    let classes: Vec<_> = halves.iter().map(|half| half.classification.as_ref()).collect::<Option<_>>()?;
    let labelled = classes.iter().any(|half| half.labelled > 0);
    let drop = |half: &&Classification| match (labelled, half.labelled) {
        (false, _) => Some(1.0 - half.top1_agreement),
        (true, 0) => None,
        (true, all) => Some((half.worsened as f64 - half.improved as f64) / all as f64),
    };
    Some((classes.iter().filter_map(drop).reduce(f64::max)?, labelled))
}

/// Whether `found` reaches `goal`.
fn meets(goal: Goal, found: &Assignment) -> std::result::Result<bool, &'static str> {
    Ok(match goal {
        Goal::SqnrDb(least) => found.sqnr_db.is_none_or(|ratio| ratio >= least),
        Goal::SizeMb(most) => found.bytes as f64 <= most * MEGABYTE,
        Goal::Top1Drop(most) => {
            const NO_CLASSES: &str = "no output of the model is one score per class, [1,C]: ask for sqnr_db";
            found.top1_drop.ok_or(NO_CLASSES)? <= most
        }
    })
}

/// What an assignment loses, for comparing: right first guesses where these are to be kept, otherwise SQNR.
fn loss(goal: Goal, found: &Assignment) -> f64 {
    match (goal, found.top1_drop) {
        (Goal::Top1Drop(_), Some(drop)) => drop,
        _ => found.sqnr_db.map_or(f64::NEG_INFINITY, |ratio| -ratio),
    }
}

/// What was searched for has to hold on the samples that check it.
fn keep(thresholds: &mut Thresholds, goal: Goal, labelled: bool) {
    match goal {
        Goal::SqnrDb(least) => thresholds.sqnr_db = Some(thresholds.sqnr_db.map_or(least, |own| own.max(least))),
        Goal::Top1Drop(most) if !labelled => {
            let least = 1.0 - most;
            thresholds.top1_agreement = Some(thresholds.top1_agreement.map_or(least, |own| own.max(least)));
        }
        Goal::Top1Drop(most) => thresholds.top1_drop = Some(thresholds.top1_drop.map_or(most, |own| own.min(most))),
        Goal::SizeMb(_) => {}
    }
}

/// What to say of few samples.
fn few(goal: Goal, samples: usize) -> Vec<String> {
    // Of the half that counts.
    let one = 1.0 / (samples / 2).max(1) as f64;
    let mut said = Vec::new();
    if samples < FEW {
        said.push(format!(
            "the budget was searched for on {samples} samples, which tell little: name more with --validation"
        ));
    }
    if let Goal::Top1Drop(most) = goal
        && most > 0.0
        && most < one
    {
        said.push(format!(
            "top1_drop {most} cannot be told on {samples} samples: of half of them one answer is {one:.3}"
        ));
    }
    said
}

fn words(types: &[policy::BudgetType]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Writes the policy of `settings`, without its budget and with the rules that a search added.
///
/// # Errors
/// When it cannot be written.
pub fn save_policy(settings: &Settings, rules: &[FoundRule], path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let text = policy::recipe(settings, rules, path, &|named| relative(named, folder))?;
    file::write_atomically(path, text.as_bytes())
}

#[cfg(test)]
mod tests;
