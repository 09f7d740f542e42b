//! The upper halves of vector registers.

/// Zeroes the upper halves of the vector registers. tract's kernels for AVX leave them as they are, and as long as they hold
/// something, every instruction of the older SSE kind waits for the one that wrote the same register before: all that the
/// compiler makes of Rust code for any x86 processor then takes up to three times as long.
#[cfg(target_arch = "x86_64")]
pub fn tidy() {
    #[target_feature(enable = "avx")]
    fn zero_upper() {
        std::arch::x86_64::_mm256_zeroupper();
    }
    if std::arch::is_x86_feature_detected!("avx") {
        #[expect(unsafe_code, reason = "the processor has the instruction")]
        unsafe {
            zero_upper();
        }
    }
}

/// Other processors have no such halves.
#[cfg(not(target_arch = "x86_64"))]
pub fn tidy() {}
