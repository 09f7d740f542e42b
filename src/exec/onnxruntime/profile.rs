//! What ONNX Runtime notes while it runs: a list of events with their times, in JSON.

use super::super::timed::NodeTime;
use crate::error::{Error, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;

/// What an event that is a node's run is called: the node's name and this.
const RAN: &str = "_kernel_time";
/// What the event of a whole run is called.
const WHOLE: &str = "model_run";

/// An event; times in microseconds.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    tid: i64,
    #[serde(default)]
    ts: i64,
    #[serde(default)]
    dur: i64,
    #[serde(default)]
    args: Args,
}

#[derive(Deserialize, Default)]
struct Args {
    #[serde(default)]
    op_name: String,
}

/// The nodes in the profile `text`, with the sum of their times over all runs but the first. What runs in a body counts for
/// itself, and no longer for the node that has the body.
///
/// # Errors
/// When it is no profile.
pub fn nodes(text: &[u8]) -> Result<Vec<NodeTime>> {
    let events: Vec<Event> =
        serde_json::from_slice(text).map_err(|e| Error::other(format!("is no profile of ONNX Runtime: {e}")))?;
    // Loading and the first run, which still sets up memory, lie before this.
    let first = events.iter().find(|event| event.name == WHOLE).map(|event| event.ts + event.dur);
    let ran = |event: &&Event| event.cat == "Node" && event.name.ends_with(RAN) && first.is_some_and(|f| event.ts >= f);
    let mut ran: Vec<&Event> = events.iter().filter(ran).collect();
    // What contains another ends, and is noted, later; put before it where both begin in the same microsecond.
    ran.reverse();
    ran.sort_by_key(|event| (event.tid, event.ts));
    let mut own: Vec<i64> = ran.iter().map(|event| event.dur).collect();
    let mut around: Vec<usize> = Vec::new();
    for (at, event) in ran.iter().enumerate() {
        // Times are cut to whole microseconds, so the end of one may seem to lie behind the end of what contains it.
        let holds = |outer: &Event| outer.tid == event.tid && event.ts < outer.ts + outer.dur;
        while around.last().is_some_and(|&outer| !holds(ran[outer])) {
            around.pop();
        }
        if let Some(&outer) = around.last() {
            own[outer] -= event.dur;
        }
        around.push(at);
    }
    let mut sums: HashMap<(&str, &str), i64> = HashMap::new();
    for (event, own) in ran.iter().zip(own) {
        let node = event.name.strip_suffix(RAN).unwrap_or(&event.name);
        *sums.entry((node, &event.args.op_name)).or_default() += own;
    }
    let time = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    let told = sums.into_iter().map(|((node, op_type), sum)| NodeTime {
        node: node.to_owned(),
        op_type: op_type.to_owned(),
        time: time(sum),
    });
    Ok(told.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(cat: &str, name: &str, ts: i64, dur: i64, op: &str) -> String {
        format!(r#"{{"cat":"{cat}","tid":7,"ts":{ts},"dur":{dur},"name":"{name}","args":{{"op_name":"{op}"}}}}"#)
    }

    #[test]
    fn the_first_run_does_not_count_and_bodies_count_once() {
        let run = |at: i64, conv: i64| {
            [
                event("Node", "conv_kernel_time", at, conv, "Conv"),
                event("Node", "add_kernel_time", at + 120, 20, "Add"),
                event("Node", "mul_kernel_time", at + 140, 30, "Mul"),
                event("Session", "SequentialExecutor::Execute", at + 110, 80, ""),
                event("Node", "loop_kernel_time", at + 110, 90, "Loop"),
                event("Session", "model_run", at, 210, ""),
            ]
        };
        let all = [
            vec![event("Session", "session_initialization", 0, 50, "")],
            run(100, 99).into(),
            run(400, 10).into(),
            run(700, 30).into(),
        ];
        let text = format!("[{}]", all.concat().join(","));
        let mut told: Vec<(String, String, u128)> = nodes(text.as_bytes())
            .expect("a profile")
            .into_iter()
            .map(|n| (n.node, n.op_type, n.time.as_micros()))
            .collect();
        told.sort();
        let wanted = [("add", "Add", 40), ("conv", "Conv", 40), ("loop", "Loop", 80), ("mul", "Mul", 60)];
        assert_eq!(told, wanted.map(|(node, op, time)| (node.to_owned(), op.to_owned(), time)));
    }

    #[test]
    fn what_is_no_profile_is_an_error() {
        assert!(nodes(b"{").is_err());
        assert!(nodes(b"[]").expect("no events").is_empty());
    }
}
