//! A model that is run as lines say.

use super::*;

/// x -> Conv -> Relu -> y in a file.
fn file(folder: &Path) -> std::path::PathBuf {
    let model = Builder::new(17).input("x", &[1, 2, 4, 4]).noise("w", &[2, 2, 3, 3], 1);
    let model = model.node("Conv", &["x", "w"], &["c"], vec![]).node("Softmax", &["c"], &["y"], vec![]);
    let path = folder.join("model.onnx");
    crate::file::save(&model.output("y", &[1, 2, 2, 2]).build(), &path).expect("written");
    path
}

fn here(path: &Path, nodes: bool) -> Result<Box<dyn Running>> {
    let samples = vec![vec![Tensor::from_f32(vec![1, 2, 4, 4], &build::noise(32, 7))]];
    Ok(Box::new(Here::begin(&Tract::default(), path, samples, Timing { threads: 1, nodes })?))
}

/// What is answered to `orders`.
fn answers(path: &Path, nodes: bool, orders: &str) -> Vec<serde_json::Value> {
    let mut told = Vec::new();
    serve(|| here(path, nodes), orders.as_bytes(), &mut told).expect("answers");
    let text = String::from_utf8(told).expect("text");
    let json = |line: &str| serde_json::from_str(line.strip_prefix("tare-bench ").expect("marked")).expect("JSON");
    text.lines().map(json).collect()
}

#[test]
fn orders_are_carried_out_until_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let orders = "{\"run\":{\"first\":0,\"count\":3}}\n{\"run\":{\"first\":3,\"count\":2}}\n\"end\"\n\"end\"\n";
    let told = answers(&file(folder.path()), false, orders);
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0]["ok"]["engine"].as_str().is_some_and(|name| name.starts_with("tract ")), "{told:?}");
    assert!(told[0]["ok"]["load_ms"].as_f64() > Some(0.0), "{told:?}");
    for (turn, count) in [(1, 3), (2, 2)] {
        let runs = told[turn]["ok"]["runs_ms"].as_array().expect("times");
        assert_eq!(runs.len(), count);
        assert!(runs.iter().all(|ms| ms.as_f64() > Some(0.0)));
    }
    assert_eq!(told[3]["ok"]["nodes"], serde_json::json!([]));
    if cfg!(target_os = "linux") {
        let memory = &told[3]["ok"]["memory"];
        assert!(memory["peak_bytes"].as_u64() >= memory["before_bytes"].as_u64(), "{memory}");
    }
}

#[test]
fn nodes_are_those_of_the_model_and_all_runs_but_the_first_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = answers(&file(folder.path()), true, "{\"run\":{\"first\":0,\"count\":5}}\n\"end\"\n");
    let end = &told[2]["ok"];
    assert!(end["runs"].as_u64() >= Some(5), "{end}");
    let mut nodes: Vec<(&str, &str)> = end["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| (node[0].as_str().expect("a name"), node[1].as_str().expect("an operator")))
        .collect();
    nodes.sort_unstable();
    assert!(nodes.contains(&("Conv_c", "Conv")) && nodes.contains(&("Softmax_y", "Softmax")), "{nodes:?}");
}

#[test]
fn what_goes_wrong_is_an_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = answers(&folder.path().join("none.onnx"), false, "\"end\"\n");
    assert_eq!(missing.len(), 1);
    assert!(missing[0]["error"].as_str().is_some_and(|why| why.contains("none.onnx")), "{missing:?}");
    let odd = answers(&file(folder.path()), false, "\"dance\"\n\"end\"\n");
    assert!(odd[1]["error"].as_str().is_some_and(|why| why.contains("is no order")), "{odd:?}");
}

#[cfg(unix)]
#[test]
fn a_process_that_ends_early_or_says_other_things_is_understood() {
    let start = |script: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        Process::start(command)
    };
    let error = start("exit 3").err().expect("it ended").to_string();
    assert!(error.contains("ended early") && error.contains('3'), "{error}");
    let error = start("echo 'tare-bench {\"error\":\"no such model\"}'").err().expect("an error").to_string();
    assert_eq!(error, "no such model");
    let began = "{\"ok\":{\"engine\":\"e\",\"load_ms\":1.5,\"first_run_ms\":2.5}}";
    let turn = "{\"ok\":{\"runs_ms\":[1.0,2.0],\"whole_ms\":3.0,\"processor_ms\":null}}";
    let script =
        format!("echo a library says hello; echo 'tare-bench {began}'; read order; echo 'tare-bench {turn}'; exit 9");
    let mut process = Box::new(start(&script).expect("it began"));
    assert_eq!((process.began().engine.as_str(), process.began().load_ms), ("e", 1.5));
    assert_eq!(process.turn(0, 2).expect("a turn").runs_ms, [1.0, 2.0]);
    let error = process.end().expect_err("it ended").to_string();
    assert!(error.contains("ended early") && error.contains('9'), "{error}");
}
