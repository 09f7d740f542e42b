//! Which numbers of an output are of one kind: where boxes in pixels stand beside scores, these are lost in any sum over all.

use super::boxes::Layout;
use super::{TaskName, Tasks};
use crate::error::Result;
use crate::ir::Model;
use crate::policy::Settings;
use std::borrow::Cow;

/// The outputs of a model that hold boxes beside scores.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    /// Of each output how many classes there may be, if it may hold boxes: the first that fits counts, `None` any number.
    each: Vec<Vec<Option<usize>>>,
}

impl Groups {
    /// Those of the float model, as the policy and what the model says of itself have it.
    ///
    /// # Errors
    /// When the policy names an output that the model has not, or a file of characters cannot be read.
    pub fn of(policy: &Settings, model: &Model) -> Result<Self> {
        let tasks = Tasks::new(policy, model)?;
        let of = |task: &TaskName| match task {
            TaskName::Yolo => vec![tasks.classes, None],
            TaskName::Auto => tasks.detects.map(Some).into_iter().collect(),
            _ => Vec::new(),
        };
        Ok(Self { each: tasks.each.iter().map(of).collect() })
    }

    /// The numbers of output `index` in groups of one kind: all of them, or places and sizes apart from scores.
    pub fn split<'a>(&self, index: usize, shape: &[usize], numbers: &'a [f32]) -> Vec<Cow<'a, [f32]>> {
        let classes = self.each.get(index).into_iter().flatten();
        match classes.copied().find_map(|classes| Layout::of(shape, classes)) {
            Some(layout) => layout.apart(numbers).map(Cow::Owned).into(),
            None => vec![Cow::Borrowed(numbers)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_scores_where_an_output_holds_boxes() {
        let groups = Groups { each: vec![vec![Some(2)], vec![]] };
        // Three boxes, each a column of place, size and two scores.
        let numbers: Vec<f32> = (0..18).map(|v| v as f32).collect();
        let split = groups.split(0, &[1, 6, 3], &numbers);
        assert_eq!(split.iter().map(|group| group.len()).collect::<Vec<_>>(), [12, 6]);
        assert_eq!((&*split[0], &*split[1]), (&numbers[..12], &numbers[12..]));
        // Another number of classes, another output, and one that nobody said anything of.
        for (index, shape) in [(0, [1, 9, 2]), (1, [1, 6, 3]), (7, [1, 6, 3])] {
            assert_eq!(groups.split(index, &shape, &numbers), [Cow::Borrowed(&*numbers)]);
        }
    }
}
