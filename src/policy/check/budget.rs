//! Whether a budget can be searched for.

use super::super::raw::{BudgetType, Mode, Raw};
use super::super::settings::{Budget, Goal};
use crate::error::Result;

impl Raw {
    /// The budget, where there is one.
    pub(super) fn budget(&self, mode: Mode) -> Result<Option<Budget>> {
        let Some(budget) = &self.budget else { return Ok(None) };
        let wanted = [
            ("top1_drop", budget.top1_drop, 0.0..=1.0, Goal::Top1Drop as fn(f64) -> Goal),
            ("sqnr_db", budget.sqnr_db, 0.0..=f64::MAX, Goal::SqnrDb),
            ("size_mb", budget.size_mb, f64::MIN_POSITIVE..=f64::MAX, Goal::SizeMb),
        ];
        let mut stated = wanted.iter().filter_map(|(key, limit, range, goal)| Some((*key, (*limit)?, range, goal)));
        let (Some((key, limit, range, goal)), None) = (stated.next(), stated.next()) else {
            return Err(self.wrong("budget", "must have one of top1_drop, sqnr_db and size_mb"));
        };
        if !range.contains(&limit) {
            let allowed = if key == "top1_drop" { "from 0 to 1" } else { "a finite number above 0" };
            return Err(self.wrong(&format!("budget.{key}"), format!("must be {allowed}; found {limit}")));
        }
        let goal = goal(limit);
        let (usual, allowed): (BudgetType, &[BudgetType]) = match goal {
            Goal::SizeMb(_) => (BudgetType::Int4, &[BudgetType::Int4]),
            _ => (BudgetType::Float32, &[BudgetType::Int16, BudgetType::Float16, BudgetType::Float32]),
        };
        let mut types = budget.types.clone().unwrap_or_else(|| vec![usual]);
        types.sort_unstable();
        types.dedup();
        if let Some(other) = types.iter().find(|kind| !allowed.contains(kind)) {
            let allowed: Vec<_> = allowed.iter().map(BudgetType::to_string).collect();
            let why = format!("{other} does not help to keep {key}; name some of {}", allowed.join(", "));
            return Err(self.wrong("budget.types", why));
        }
        if types.is_empty() {
            return Err(self.wrong("budget.types", "must name at least one type"));
        }
        let samples = budget.samples.unwrap_or_else(|| goal.usual_samples());
        if samples == 0 {
            return Err(self.wrong("budget.samples", "must be 1 or more"));
        }
        if mode != Mode::Static {
            return Err(self.wrong("budget", "is searched for in mode static; set that, or remove this"));
        }
        if self.strict == Some(true) && types != [BudgetType::Int16] {
            let why = "leaves layers in float, which strict: true does not let be; remove one of the two, or take types: int16";
            return Err(self.wrong("budget", why));
        }
        if self.data.as_ref().and_then(|data| data.validation.as_ref()).and_then(|v| v.samples) == Some(0) {
            let why = "is searched for on samples that do not calibrate, and data.validation.samples is 0; leave one of the two out";
            return Err(self.wrong("budget", why));
        }
        Ok(Some(Budget { goal, types, samples }))
    }
}
