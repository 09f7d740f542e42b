//! Log lines, on standard error.

use super::args::{LogFormat, Output};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// Starts logging as the flags say: only this program's own lines, not those of its engine.
pub fn init(output: &Output) {
    let level = match (output.quiet, output.verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::WARN,
        (_, 1) => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let own = tracing_subscriber::filter::Targets::new().with_target("tare", level);
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let registry = tracing_subscriber::registry();
    match output.log_format {
        LogFormat::Text => {
            registry
                .with(fmt::layer().with_writer(std::io::stderr).with_ansi(ansi).without_time().with_filter(own))
                .init();
        }
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr).with_filter(own)).init(),
    }
    // A panic inside the engine is caught and becomes an error; its trace would only confuse.
    std::panic::set_hook(Box::new(|info| tracing::debug!(%info, "panic")));
}
