//! Models that run by turns.

use super::nodes::Profile;
use super::running::{Began, Running, Task, Turn};
use super::spread::Spread;
use super::{Measurement, Timed};
use crate::error::Result;
use crate::progress::Progress;

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// About so many seconds for the slowest model, of each engine and number of threads.
    pub seconds: f64,
    /// So many runs of each model instead.
    pub runs: Option<usize>,
    /// At least so many runs of each model before any counts.
    pub warmup: usize,
}

/// Models are loaded so often, so that a load time is no chance ...
const LOADS: usize = 3;
/// ... unless it takes longer than this, in milliseconds.
const SLOW_LOAD: f64 = 1e3;
/// A turn of the slowest model takes about so many milliseconds, if there are rounds enough all the same.
const TURN: f64 = 100.0;
/// Rounds that there are at least, where there are so many runs.
const ROUNDS: usize = 20;
/// Runs that there are at least, and at most, where their number is not stated.
const RUNS: (usize, usize) = (5, 100_000);
/// Milliseconds for the times of nodes, and the most runs that go into them: an engine notes each node of each run.
const PROFILING: (f64, usize) = (500.0, 50);

/// Starts what runs a model alone.
pub type Launch<'a> = dyn Fn(&Task<'_>) -> Result<Box<dyn Running>> + 'a;

/// One model on its way.
struct Entry<'a> {
    task: Task<'a>,
    running: Option<Box<dyn Running>>,
    began: Vec<Began>,
    /// The times of all runs, and the median of each round.
    times: Vec<f64>,
    rounds: Vec<f64>,
    /// The time of all turns, and for how long of a run in each round the process had a processor, where that is known.
    whole: f64,
    processor: Vec<f64>,
    result: Timed,
}

impl Entry<'_> {
    /// What `done` made; if it failed, the model is out.
    fn noted<T>(&mut self, done: Result<T>) -> Option<T> {
        done.inspect_err(|why| {
            self.result.error = Some(why.to_string());
            self.running = None;
        })
        .ok()
    }

    fn launch(&mut self, launch: &Launch<'_>) {
        // The one before ends first: there is no memory for two.
        self.running = None;
        if let Some(running) = self.noted(launch(&self.task)) {
            self.began.push(running.began().clone());
            self.running = Some(running);
        }
    }

    /// The median of the runs of a turn, and the turn.
    fn turn(&mut self, first: usize, count: usize) -> Option<(f64, Turn)> {
        let turn = self.running.as_mut()?.turn(first, count);
        let turn = self.noted(turn)?;
        Some((Spread::of(&turn.runs_ms)?.median, turn))
    }

    fn counted_turn(&mut self, first: usize, count: usize) {
        let Some((median, turn)) = self.turn(first, count) else { return };
        self.rounds.push(median);
        self.times.extend(turn.runs_ms);
        self.whole += turn.whole_ms;
        self.processor.extend(turn.processor_ms.map(|ms| ms / count.max(1) as f64));
    }

    fn slow_to_load(&self) -> bool {
        self.began.last().is_some_and(|began| began.load_ms + began.first_run_ms > SLOW_LOAD)
    }

    fn profile(&mut self, launch: &Launch<'_>, samples: usize) {
        let Some(latency) = self.result.latency_ms else { return };
        let runs = ((PROFILING.0 / latency.median.max(1e-3)) as usize).clamp(samples.max(3), PROFILING.1.max(samples));
        let ended = launch(&Task { nodes: true, ..self.task }).and_then(|mut running| {
            running.turn(0, runs)?;
            running.end()
        });
        if let Some(ended) = self.noted(ended) {
            self.result.profile = Some(Profile::of(ended.nodes, ended.runs));
        }
    }
}

/// Forward and backward by turns: what comes after what is not always the same.
fn in_turn<'e, 'a>(entries: &'e mut [Entry<'a>], round: usize) -> Box<dyn Iterator<Item = &'e mut Entry<'a>> + 'e> {
    if round.is_multiple_of(2) { Box::new(entries.iter_mut()) } else { Box::new(entries.iter_mut().rev()) }
}

/// Runs and rounds, for a model that takes `slowest` milliseconds.
fn extent(effort: &Effort, slowest: f64) -> (usize, usize) {
    let slowest = slowest.max(1e-4);
    let runs = effort.runs.unwrap_or(((effort.seconds * 1e3 / slowest) as usize).clamp(RUNS.0, RUNS.1)).max(1);
    let turn = ((TURN / slowest) as usize).clamp(1, (runs / ROUNDS).max(1));
    (runs, turn)
}

/// Measures the models of `tasks`, all on one engine and number of threads, by turns. A model that fails is out; the others go
/// on. `samples` is the largest number of samples that one of them has, `nodes` whether the time of each node is taken, too.
pub fn group(
    tasks: &[Task<'_>],
    (samples, nodes): (usize, bool),
    effort: &Effort,
    launch: &Launch<'_>,
    progress: &dyn Progress,
) -> Measurement {
    let entry = |task: &Task<'_>| Timed { model: task.model.display().to_string(), ..Timed::default() };
    let mut entries: Vec<Entry<'_>> = tasks
        .iter()
        .map(|task| Entry {
            task: *task,
            running: None,
            began: Vec::new(),
            times: Vec::new(),
            rounds: Vec::new(),
            whole: 0.0,
            processor: Vec::new(),
            result: entry(task),
        })
        .collect();
    for attempt in 0..LOADS {
        for entry in in_turn(&mut entries, attempt) {
            if attempt == 0 || entry.running.is_some() && !entry.slow_to_load() {
                entry.launch(launch);
            }
        }
    }
    let mut slowest = 0.0_f64;
    for entry in &mut entries {
        // Each shape that samples have is met once before anything counts.
        if let Some((median, _)) = entry.turn(0, effort.warmup.max(samples).max(1)) {
            slowest = slowest.max(median);
        }
    }
    let (runs, turn) = extent(effort, slowest);
    let rounds = runs.div_ceil(turn);
    let engine = entries.iter().find_map(|entry| Some(entry.began.first()?.engine.clone()));
    let threads = tasks.first().map_or(1, |task| task.threads);
    progress.start(&format!("{}, {threads}", engine.as_deref().unwrap_or("nothing")), rounds);
    for round in 0..rounds {
        let first = round * turn;
        for entry in in_turn(&mut entries, round) {
            entry.counted_turn(first, turn.min(runs - first));
        }
        progress.step();
    }
    progress.finish();
    finish(&mut entries);
    if nodes {
        entries.iter_mut().for_each(|entry| entry.profile(launch, samples));
    }
    let models: Vec<Timed> = entries.into_iter().map(|entry| entry.result).collect();
    Measurement { engine: engine.unwrap_or_default(), threads, rounds, runs, models }
}

/// Ends what runs and works out the results.
fn finish(entries: &mut [Entry<'_>]) {
    for entry in entries.iter_mut() {
        let Some(running) = entry.running.take() else { continue };
        if let Some(ended) = entry.noted(running.end()) {
            entry.result.memory = ended.memory;
        }
    }
    let first = entries.first().filter(|entry| entry.result.error.is_none());
    let first = first.map(|entry| (entry.rounds.clone(), entry.processor.clone())).unwrap_or_default();
    for entry in entries.iter_mut().filter(|entry| entry.result.error.is_none()) {
        let of = |what: fn(&Began) -> f64| Spread::of(&entry.began.iter().map(what).collect::<Vec<_>>());
        let (load_ms, first_run_ms) = (of(|began| began.load_ms), of(|began| began.first_run_ms));
        let result = &mut entry.result;
        (result.load_ms, result.first_run_ms) = (load_ms, first_run_ms);
        result.latency_ms = Spread::of(&entry.times);
        result.ratio = ratio(&first.0, &entry.rounds);
        // Several threads may have as many processors.
        if entry.task.threads == 1 && entry.processor.len() == entry.rounds.len() {
            let runs = entry.times.len() as f64 / entry.rounds.len().max(1) as f64;
            let had = entry.processor.iter().sum::<f64>() * runs;
            result.processor_share = (entry.whole > 0.0).then_some((had / entry.whole).min(1.0));
            result.processor_ms = Spread::of(&entry.processor);
            result.processor_ratio = ratio(&first.1, &entry.processor);
        }
    }
}

/// What `own` is as shares of `first`, round by round.
fn ratio(first: &[f64], own: &[f64]) -> Option<Spread> {
    let ratios = first.iter().zip(own).map(|(first, own)| own / first);
    Spread::of(&ratios.filter(|ratio| ratio.is_finite()).collect::<Vec<_>>())
}
