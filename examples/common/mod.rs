//! Examples that do something with each model of a list.

use std::path::Path;
use std::process::ExitCode;

/// The main function of the example `name`: calls `work` with input and output of each line of the list that the command line
/// names, and with what stands behind another tab. Failures go to stderr, one line each; any failure makes the exit code 1.
pub fn each(name: &str, work: impl Fn(&Path, &Path, Option<&str>) -> tare::error::Result<()>) -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(list), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: {name} LIST, a file with lines of input.onnx<TAB>output.onnx");
        return ExitCode::from(2);
    };
    let list = match std::fs::read_to_string(&list) {
        Ok(list) => list,
        Err(error) => {
            eprintln!("{}: {error}", Path::new(&list).display());
            return ExitCode::from(2);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for line in list.lines().filter(|line| !line.is_empty()) {
        let done = match line.split_once('\t') {
            None => Err(format!("{line}: no tab between input and output")),
            // The input's name leads the line even where the message names another file, so that a script can match them up.
            Some((input, output)) => {
                let (output, more) =
                    output.split_once('\t').map_or((output, None), |(output, more)| (output, Some(more)));
                work(Path::new(input), Path::new(output), more).map_err(|error| format!("{input}: {error}"))
            }
        };
        if let Err(message) = done {
            eprintln!("{message}");
            code = ExitCode::FAILURE;
        }
    }
    code
}
