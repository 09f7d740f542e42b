//! Panics that are caught and become errors: the program's own hook, which usually prints them, need not hear of them.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// What is told of a panic before it unwinds.
type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

thread_local! {
    /// Whether a panic of this thread will be caught here.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Puts a hook before the program's own that keeps from it what is caught here. Every other panic goes through.
fn install() {
    static ONCE: Once = Once::new();
    // While a thread panics its hook cannot be changed.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| set_hook(muffled(take_hook())));
}

/// A hook that passes on to `before` what is not caught here.
pub(super) fn muffled(before: Hook) -> Hook {
    Box::new(move |panic| {
        if !CAUGHT.get() {
            before(panic);
        }
    })
}

/// Runs `f` and catches its panic, without a word.
///
/// # Errors
/// What `f` panicked with.
pub fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    install();
    let before = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    CAUGHT.set(before);
    result
}
