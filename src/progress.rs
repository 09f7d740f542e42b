//! How the library tells that it moves on. It never prints: whoever calls it decides what to show.

/// Hears of work that takes time. All methods may be called from several threads.
pub trait Progress: Sync {
    /// A piece of work begins, of `steps` steps.
    fn start(&self, what: &str, steps: usize);
    /// One step is done.
    fn step(&self);
    /// The piece of work has ended.
    fn finish(&self);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: usize) {}
    fn step(&self) {}
    fn finish(&self) {}
}
