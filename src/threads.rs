//! Work on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// The most threads that [`for_each`] takes; 0 stands for as many as the machine runs at once.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Limits the threads of this process to `threads`.
pub fn limit(threads: usize) {
    LIMIT.store(threads, Ordering::Relaxed);
}

fn allowed() -> usize {
    match LIMIT.load(Ordering::Relaxed) {
        0 => thread::available_parallelism().map_or(1, usize::from),
        limit => limit,
    }
}

/// Does `work` on each item, on as many threads as are allowed. Which thread does an item, and when, is open: what comes out
/// must not depend on it.
pub fn for_each<T: Send>(items: impl ExactSizeIterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    let threads = allowed().min(items.len());
    if threads <= 1 {
        return items.for_each(work);
    }
    let queue = Mutex::new(items);
    let worker = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = next else { return };
            work(item);
        }
    };
    // A panic of a worker goes on here.
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(worker))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once() {
        for count in [0, 1, 2, 1000] {
            let mut done = vec![0; count];
            for_each(done.iter_mut().enumerate(), |(i, place)| *place += i + 1);
            assert_eq!(done, (1..=count).collect::<Vec<_>>());
        }
    }
}
