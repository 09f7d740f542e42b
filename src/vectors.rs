//! Functions compiled for the vector instructions of some processors, beside those that every processor of its kind has.

/// Calls a function compiled for some features of a processor, and returns, where this one has them. It and what it calls have
/// to be inlined for that. The result is the same: which numbers are added up side by side is for the function to say.
macro_rules! on_vectors {
    ($features:literal, $function:ident($($name:ident: $type:ty),*) -> $result:ty) => {
        #[cfg(target_arch = "x86_64")]
        if $features.split(',').all($crate::vectors::has) {
            #[target_feature(enable = $features)]
            fn on_vectors($($name: $type),*) -> $result {
                $function($($name),*)
            }
            #[expect(unsafe_code, reason = "calls what only some processors run: see below")]
            // SAFETY: the processor was just asked.
            return unsafe { on_vectors($($name),*) };
        }
    };
}
pub(crate) use on_vectors;

/// Whether this processor has a feature.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has(feature: &str) -> bool {
    use std::arch::is_x86_feature_detected as has;
    match feature {
        "avx2" => has!("avx2"),
        "avx512f" => has!("avx512f"),
        "avx512bw" => has!("avx512bw"),
        "avx512dq" => has!("avx512dq"),
        "avx512vl" => has!("avx512vl"),
        _ => false,
    }
}
