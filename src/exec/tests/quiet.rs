//! Panics that are caught, and those that are not.

use super::super::quiet::catch;
use std::panic::{set_hook, take_hook};
use std::sync::atomic::{AtomicUsize, Ordering};

static HEARD: AtomicUsize = AtomicUsize::new(0);

/// Whether the payload is one of this test's: others run at the same time.
fn ours(payload: &(dyn std::any::Any + Send)) -> bool {
    payload.downcast_ref::<&str>().is_some_and(|text| text.starts_with("quiet test"))
}

#[test]
fn only_panics_that_are_caught_here_are_kept_from_the_hook() {
    let before = take_hook();
    set_hook(Box::new(move |panic| match ours(panic.payload()) {
        true => _ = HEARD.fetch_add(1, Ordering::SeqCst),
        false => before(panic),
    }));
    // The hook that is asked first is put before this one, or was put there by another test and is behind it now.
    let hook = super::super::quiet::muffled(take_hook());
    set_hook(hook);
    assert_eq!(catch(|| 5).expect("no panic"), 5);
    let inner = catch(|| {
        assert!(catch(|| panic!("quiet test: within")).is_err());
        panic!("quiet test: without")
    });
    assert!(ours(&*inner.expect_err("a panic")));
    assert_eq!(HEARD.load(Ordering::SeqCst), 0);
    assert!(std::thread::spawn(|| panic!("quiet test: elsewhere")).join().is_err());
    assert!(std::panic::catch_unwind(|| panic!("quiet test: afterwards")).is_err());
    assert_eq!(HEARD.load(Ordering::SeqCst), 2);
}
