//! The command `tare`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
