//! Many samples on all cores, in memory that does not grow with their number.

use super::Sample;
use crate::error::{Error, Result};
use crate::progress::Progress;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Hands each sample of `reader` to one of `threads` workers; each has a state made by `state`, and the states come back
/// in no particular order. The first error, in the order of the samples, ends the run.
///
/// # Errors
/// Those of reading and of `work`; what is wrong with a node for a sample names the sample, too.
pub fn run_samples<S: Send>(
    reader: impl Iterator<Item = Result<Sample>> + Send,
    threads: usize,
    progress: &dyn Progress,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, &Sample) -> Result<()> + Sync,
) -> Result<Vec<S>> {
    let queue = Mutex::new((reader.enumerate(), None::<(usize, Error)>));
    let fail = |index: usize, error: Error| {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.1.as_ref().is_none_or(|(first, _)| index < *first) {
            queue.1 = Some((index, error));
        }
    };
    let worker = || {
        let mut own = state();
        loop {
            let next = {
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                if queue.1.is_some() { None } else { queue.0.next() }
            };
            match next {
                None => return own,
                Some((index, Err(error))) => fail(index, error),
                Some((index, Ok(sample))) => match work(&mut own, index, &sample) {
                    Ok(()) => progress.step(),
                    Err(error @ Error::Node { .. }) => {
                        fail(index, Error::other(format!("sample {}: {error}", sample.name)));
                    }
                    Err(error) => fail(index, error),
                },
            }
        }
    };
    let joined: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    if let Some((_, error)) = queue.into_inner().unwrap_or_else(PoisonError::into_inner).1 {
        return Err(error);
    }
    let panicked = |_| Error::other("the engine failed on a sample without saying why (it panicked)");
    joined.into_iter().map(|state| state.map_err(panicked)).collect()
}
