//! The memory of this process and the time that it had a processor, where the system tells.

use serde::{Deserialize, Serialize};

/// Resident memory of a process that runs one model, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The most that there was at any time, loading included.
    pub peak_bytes: u64,
    /// What there was before the model was loaded: the program, the engine and the inputs.
    pub before_bytes: u64,
}

/// Resident memory of this process: now, and at most until now. `None` where the system is not Linux, or does not tell.
pub fn resident() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some((field(&status, "VmRSS:")?, field(&status, "VmHWM:")?))
}

/// Milliseconds for which threads of this process, all together, had a processor. `None` where the system is not Linux, or does
/// not tell.
pub fn processor_ms() -> Option<f64> {
    // The kernel brings its count up to date when a thread gives way, or else at the next tick.
    std::thread::yield_now();
    let mut sum = 0_u64;
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        let Ok(text) = std::fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
        sum += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    (sum > 0).then_some(sum as f64 / 1e6)
}

/// The bytes in a line like `VmRSS:   1234 kB`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_read_and_what_is_not_there_is_none() {
        let status = "Name:\ttare\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!((field(status, "VmRSS:"), field(status, "VmHWM:")), (Some(1 << 20), Some(1 << 21)));
        assert_eq!((field(status, "VmPeak:"), field("VmRSS: many kB", "VmRSS:")), (None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_allocated_and_written_shows() {
        let (before, _) = resident().expect("Linux tells");
        let large = vec![1_u8; 64 << 20];
        let (_, peak) = resident().expect("Linux tells");
        // Other tests of this process give memory back meanwhile.
        assert!(peak > 64 << 20 && before > 0, "{before} {peak} {}", large.len());
    }
}
