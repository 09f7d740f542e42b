//! What each command does, in terms of the library.

use super::Verdict;
use super::args::{
    Bench, BenchProcess, Calibrate, Data, Dequantize, Diff, Init, Model, Output, Quantize, Record, Sensitivity,
    Validate,
};
use super::progress::Bars;
use std::path::{Path, PathBuf};
use std::process::Command;
use tare::bench::{Process, Running, Task, serve};
use tare::error::{Error, Result};
use tare::pipeline::{self, Context, Planned};
use tare::quant::KnownGrids;
use tare::report::{Form, Judged};
use tare::{file, policy, report, threads};

/// Prints to standard output; a closed pipe ends the program quietly.
fn print(text: impl std::fmt::Display) {
    use std::io::Write;
    if write!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

pub fn init(args: &Init, output: &Output) -> Result<Verdict> {
    let Some(path) = &args.output else {
        print(pipeline::init(&args.overrides()?, Path::new("tare.yaml"))?);
        return Ok(Verdict::Good);
    };
    if path.exists() && !args.force {
        return Err(Error::file(path, "is there already; name another file, or write over it with --force"));
    }
    let overrides = args.overrides()?;
    let (model, data) = (Some(&args.model), overrides.calibration.as_ref());
    let read = [
        ("model", model),
        ("file of samples", data),
        ("file of samples", overrides.validation.as_ref()),
        ("file of labels", overrides.labels.as_ref()),
    ];
    let read: Vec<_> = read.into_iter().filter_map(|(what, path)| Some((what, path?.as_path()))).collect();
    // Makes the folder, from which the policy's paths count.
    file::check_outputs(&[path], &read)?;
    let policy = pipeline::init(&overrides, path)?;
    file::write_atomically(path, policy.as_bytes())?;
    if !output.quiet {
        let path = path.display();
        print(format_args!("{path}; next: tare quantize -c {path}\n"));
    }
    Ok(Verdict::Good)
}

/// The threads that `data` allows, for samples and for weights, the grids that are known, and where ONNX Runtime is.
fn context<'a>(data: &'a Data, progress: &'a Bars, known: &'a KnownGrids) -> Context<'a> {
    let threads = data.threads();
    threads::limit(threads);
    Context { threads, progress, known, onnxruntime: data.onnxruntime.as_deref() }
}

pub fn quantize(args: &Quantize, output: &Output) -> Result<Verdict> {
    let settings = args.settings()?;
    let bars = Bars::new(output.quiet);
    let none = KnownGrids::default();
    let context = context(&args.data, &bars, &none);
    let report = pipeline::quantize(&settings, args.found(), &context)?;
    if !output.quiet {
        print(&report);
        if let Some(path) = &settings.report {
            print(format_args!("report       {}\n", path.display()));
        }
    }
    Ok(if report.is_passed() { Verdict::Good } else { Verdict::Failed })
}

pub fn inspect(args: &Model) -> Result<Verdict> {
    print(pipeline::inspect(&args.settings()?)?);
    Ok(Verdict::Good)
}

pub fn plan(args: &Model) -> Result<Verdict> {
    let settings = args.settings()?;
    print(Planned::new(&settings)?.listing(&settings));
    Ok(Verdict::Good)
}

pub fn calibrate(args: &Calibrate, output: &Output) -> Result<Verdict> {
    let settings = args.settings()?;
    file::check_outputs(&[&args.output], &settings.files())?;
    let bars = Bars::new(output.quiet);
    let none = KnownGrids::default();
    let context = context(&args.data, &bars, &none);
    let mut planned = Planned::knowing(&settings, context.known)?;
    // Which files hold the model's weights is known now.
    file::check_writable(&args.output)?;
    let (calibration, summary) = planned.calibrate(&settings, &context)?;
    file::write_atomically(&args.output, calibration.to_json()?.as_bytes())?;
    if !output.quiet {
        let (values, samples) = (calibration.values.len(), summary.samples);
        print(format_args!("{values} values over {samples} samples -> {}\n", args.output.display()));
    }
    Ok(Verdict::Good)
}

pub fn validate(args: &Validate, output: &Output) -> Result<Verdict> {
    let settings = args.settings()?;
    let mut read = settings.files();
    read.extend([("float model", args.float.as_path()), ("quantized model", args.quantized.as_path())]);
    // The policy's own are those of a conversion.
    let written: Vec<&Path> = args.report.iter().chain(&args.judging.junit).map(PathBuf::as_path).collect();
    file::check_outputs(&written, &read)?;
    let page = args.report.as_deref().map(Form::of).transpose()? == Some(Form::Html);
    let bars = Bars::new(output.quiet);
    let none = KnownGrids::default();
    let context = context(&args.data, &bars, &none);
    let comparison = pipeline::compare(&args.float, &args.quantized, &settings, args.layers, &context)?;
    let judged = Judged::new(comparison, &settings.thresholds);
    match &args.report {
        Some(path) if page => {
            pipeline::save_comparison(path, (&args.float, &args.quantized), &settings, &judged.comparison, &context)?;
        }
        Some(path) => report::save_json(&judged, path)?,
        None => {}
    }
    if let Some(path) = &args.judging.junit {
        let model = args.quantized.display().to_string();
        let compared = Ok(&judged.comparison);
        report::save_junit(&report::JUnit { model: &model, compared, checks: &judged.checks }, path)?;
    }
    if !output.quiet {
        print(&judged);
    }
    Ok(if judged.is_passed() { Verdict::Good } else { Verdict::Failed })
}

pub fn record(args: &Record, output: &Output) -> Result<Verdict> {
    let settings = args.settings()?;
    let bars = Bars::new(output.quiet);
    let none = KnownGrids::default();
    let context = context(&args.data, &bars, &none);
    let samples = pipeline::record(&args.model, &args.output, &settings, &context)?;
    if !output.quiet {
        print(format_args!("inputs and outputs of {samples} samples -> {}\n", args.output.display()));
    }
    Ok(Verdict::Good)
}

pub fn dequantize(args: &Dequantize, output: &Output) -> Result<Verdict> {
    let done = pipeline::dequantize(&args.model, &args.output)?;
    if !output.quiet {
        let (gone, operators, stored) = (done.quantizers, done.operators, done.stored);
        print(format_args!(
            "{gone} quantizations taken out, {operators} operators on integers and {stored} stored tensors made float"
        ));
        print(format_args!(" -> {}\n", args.output.display()));
    }
    Ok(Verdict::Good)
}

pub fn sensitivity(args: &Sensitivity, output: &Output) -> Result<Verdict> {
    let (settings, samples) = (args.settings()?, args.samples()?);
    args.report.as_deref().map(Form::of).transpose()?;
    let mut read = settings.files();
    read.extend(args.ranges.as_deref().map(|path| ("file of statistics", path)));
    let written: Vec<&Path> = args.report.iter().chain(&args.resume).map(PathBuf::as_path).collect();
    file::check_outputs(&written, &read)?;
    let bars = Bars::new(output.quiet);
    let none = KnownGrids::default();
    let context = context(&args.data, &bars, &none);
    let how = pipeline::Measuring { metric: args.metric(), samples, resume: args.resume.as_deref() };
    let measured = pipeline::sensitivity(&settings, args.found(), &how, &context)?;
    if let Some(path) = &args.report {
        measured.save(path)?;
    }
    if !output.quiet {
        print(&measured);
    }
    Ok(Verdict::Good)
}

pub fn diff(args: &Diff, output: &Output) -> Result<Verdict> {
    if let Some(path) = &args.report {
        if Form::of(path)? == Form::Html {
            return Err(Error::file(path, "is to be a page, and a difference is written as JSON; name a .json"));
        }
        file::check_outputs(&[path], &[("first model", &args.a), ("second model", &args.b)])?;
    }
    let difference = pipeline::diff(&args.a, &args.b)?;
    if let Some(path) = &args.report {
        report::save_json(&difference, path)?;
    }
    if !output.quiet {
        print(&difference);
    }
    Ok(if difference.is_empty() { Verdict::Good } else { Verdict::Different })
}

pub fn bench(args: &Bench, output: &Output) -> Result<Verdict> {
    let (settings, engines, threads) = (args.settings()?, args.engines()?, args.threads()?);
    let effort = args.effort()?;
    if let Some(path) = &args.report {
        let mut read = settings.files();
        read.extend(args.models.iter().map(|path| ("model", path.as_path())));
        file::check_outputs(&[path], &read)?;
    }
    let own = std::env::current_exe().map_err(|e| Error::other(format!("the program does not find itself: {e}")))?;
    let onnxruntime = args.onnxruntime.as_deref();
    let launch = |task: &Task<'_>| {
        let mut command = Command::new(&own);
        command.arg("-q").args(BenchProcess::arguments(task, onnxruntime));
        Ok(Box::new(Process::start(command)?) as Box<dyn Running>)
    };
    let what = pipeline::Bench {
        models: &args.models,
        engines: engines.as_deref(),
        threads: &threads,
        effort,
        nodes: args.nodes,
        onnxruntime,
    };
    let done = pipeline::bench(&what, &settings, &launch, &Bars::new(output.quiet))?;
    if let Some(path) = &args.report {
        report::save_json(&done, path)?;
    }
    if !output.quiet {
        print(&done);
    }
    Ok(Verdict::Good)
}

pub fn bench_process(args: &BenchProcess) -> Result<Verdict> {
    let load = || pipeline::alone(&args.task()?, args.onnxruntime.as_deref());
    serve(load, std::io::stdin().lock(), std::io::stdout().lock())?;
    Ok(Verdict::Good)
}

pub fn schema() -> Result<Verdict> {
    let text = serde_json::to_string_pretty(&policy::schema()).map_err(Error::other)?;
    print(format_args!("{text}\n"));
    Ok(Verdict::Good)
}
