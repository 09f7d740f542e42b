//! A model in a process of its own, which is told by lines when to run, and answers in lines. Both ends of the line.

use super::running::{Began, Ended, Running, Turn};
use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// What each line of an answer begins with: libraries that an engine loads may print lines of their own.
const MARK: &str = "tare-bench ";

/// How long a process may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// An answer.
#[derive(Serialize, Deserialize)]
enum Answer<T> {
    #[serde(rename = "ok")]
    Good(T),
    #[serde(rename = "error")]
    Failed(String),
}

/// What the process is told.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Run { first: usize, count: usize },
    End,
}

/// A process that runs one model. When it is dropped, the process ends.
pub struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    began: Began,
}

impl Process {
    /// Starts `command`, which calls [`serve`] with its standard input and output, and waits until the model is loaded.
    ///
    /// # Errors
    /// When it does not start, or its engine cannot run the model.
    pub fn start(mut command: Command) -> Result<Self> {
        let failed = |e: std::io::Error| Error::other(format!("no process to measure in: {e}"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::other("no process to measure in: it has no standard input and output"));
        };
        let began = Began { engine: String::new(), load_ms: 0.0, first_run_ms: 0.0 };
        let mut process = Self { child, orders: Some(orders), answers: BufReader::new(answers), began };
        process.began = process.answer()?;
        Ok(process)
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.answers.read_line(&mut line).map_err(|e| Error::Engine(e.to_string()))? == 0 {
                let how = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
                return Err(Error::Engine(format!("the process that ran the model ended early ({how})")));
            }
            if let Some(text) = line.strip_prefix(MARK) {
                return match serde_json::from_str(text).map_err(Error::other)? {
                    Answer::Good(told) => Ok(told),
                    Answer::Failed(why) => Err(Error::Engine(why)),
                };
            }
        }
    }

    fn ask<T: DeserializeOwned>(&mut self, order: &Order) -> Result<T> {
        let text = serde_json::to_string(order).map_err(Error::other)?;
        if let Some(orders) = &mut self.orders {
            // If it is gone, the missing answer tells how it ended.
            let _ = writeln!(orders, "{text}").and_then(|()| orders.flush());
        }
        self.answer()
    }
}

impl Running for Process {
    fn began(&self) -> &Began {
        &self.began
    }

    fn turn(&mut self, first: usize, count: usize) -> Result<Turn> {
        self.ask(&Order::Run { first, count })
    }

    fn end(mut self: Box<Self>) -> Result<Ended> {
        self.ask(&Order::End)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its input ends, and so does it, leaving nothing behind; one that hangs is ended.
        drop(self.orders.take());
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tell<T: Serialize>(to: &mut impl Write, told: Result<T>) -> Result<bool> {
    let good = told.is_ok();
    let answer = told.map_or_else(|e| Answer::Failed(e.to_string()), Answer::Good);
    let text = serde_json::to_string(&answer).map_err(Error::other)?;
    // Whoever asked may be gone.
    Ok(writeln!(to, "{MARK}{text}").and_then(|()| to.flush()).is_ok() && good)
}

/// Runs a model as the lines of `orders` say, until they end, and answers to `answers`.
///
/// # Errors
/// When an answer cannot be written as text. What fails otherwise is an answer.
pub fn serve(
    load: impl FnOnce() -> Result<Box<dyn Running>>,
    orders: impl BufRead,
    mut answers: impl Write,
) -> Result<()> {
    let mut running = match load() {
        Ok(running) => running,
        Err(e) => return tell::<()>(&mut answers, Err(e)).map(|_| ()),
    };
    let began = running.began().clone();
    if !tell(&mut answers, Ok(began))? {
        return Ok(());
    }
    for line in orders.lines() {
        let Ok(line) = line else { break };
        let goes_on = match serde_json::from_str(&line) {
            Ok(Order::Run { first, count }) => tell(&mut answers, running.turn(first, count))?,
            Ok(Order::End) => return tell(&mut answers, running.end()).map(|_| ()),
            Err(e) => tell::<()>(&mut answers, Err(Error::other(format!("is no order: {e}"))))?,
        };
        if !goes_on {
            break;
        }
    }
    Ok(())
}
