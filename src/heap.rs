//! Freed memory goes back to the system. An allocator keeps it for the next who asks, which is well while the same work goes on
//! and too much between two works of which each is large.

/// Gives back what was freed. To be called where a large work ends and another begins; does nothing where the C library is
/// another one than GNU's, whose allocator is the one known to need it.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a function of the C library")]
    // SAFETY: it may be called at any time and from any thread; memory that is in use stays as it is.
    unsafe {
        libc::malloc_trim(0);
    }
}
