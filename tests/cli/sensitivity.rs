//! `sensitivity`.

use super::*;

#[test]
fn what_each_layer_costs_is_ranked_and_taken_up_again() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "");
    let measure = |flags: &[&str]| {
        let args = ["sensitivity", "-c", "policy.yaml", "--samples", "4", "--report", "s.json"];
        let output = tare(folder, args.iter().chain(flags));
        (ends(&output, 0).to_owned(), json(folder.join("s.json")))
    };
    let (printed, told) = measure(&["--threads", "1", "--resume", "state.json"]);
    for part in [
        "samples      4\n",
        "quantized    SQNR ",
        " dB",
        "first: it reads the model's input",
        "\nin float     most damage",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let nodes = told["nodes"].as_array().expect("a list");
    let of = |node: &serde_json::Value, what: &str| node[what]["sqnr_db"].as_f64();
    assert!(nodes.len() > 5 && nodes.iter().all(|node| of(node, "alone").is_some()), "{told}");
    assert!(nodes.is_sorted_by_key(|node| of(node, "alone")), "{told}");
    let whole = told["quantized"]["sqnr_db"].as_f64().expect("a number");
    assert!(nodes.iter().all(|node| of(node, "alone").is_some_and(|alone| alone > whole - 3.0)), "{told}");
    let conv = nodes.iter().find(|node| node["op_type"] == "Conv").expect("a layer");
    assert!(of(conv, "weights").is_some() && of(conv, "activations").is_some(), "{conv}");
    assert_eq!(told["by_gain"].as_array().map(Vec::len), Some(nodes.len()));

    // Nothing is left to do, and any number of threads finds the same.
    let (_, again) = measure(&["--resume", "state.json"]);
    assert_eq!(again, told);
    let (_, threads) = measure(&["--threads", "3"]);
    assert_eq!(threads, told);
    let output = tare(
        folder,
        ["sensitivity", "-c", "policy.yaml", "--samples", "4", "--resume", "state.json", "--report", "s.html"],
    );
    ends(&output, 0);
    let page = std::fs::read_to_string(folder.join("s.html")).expect("a page");
    let worst = nodes[0]["node"].as_str().expect("a name");
    assert!(
        page.contains(worst) && page.contains("Which layers cost accuracy?") && !page.contains("<script"),
        "{page}"
    );
    let (printed, by_class) = measure(&["--metric", "top1"]);
    assert!(printed.contains("samples with another highest class") && by_class["labelled"] == false, "{printed}");

    for (flags, why) in [
        (
            vec!["--samples", "5", "--resume", "state.json"],
            "state.json: is the state of a measurement of other samples",
        ),
        (
            vec!["--weights", "uint8", "--resume", "state.json"],
            "state.json: is the state of a measurement of another policy",
        ),
        (vec!["--mode", "dynamic"], "each run finds anew"),
        (vec!["--mode", "float32"], "nothing of the model is quantized"),
        (vec!["--mode", "float16"], "compute in 16 bits"),
        (vec!["--samples", "0"], "leaves nothing to run"),
        (vec!["--report", "s.pdf"], "s.pdf"),
        (vec!["--resume", "policy.yaml"], "policy.yaml"),
    ] {
        let args = ["sensitivity", "-c", "policy.yaml"];
        let output = tare(folder, args.iter().chain(&flags));
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(text(&output.stderr).contains(why), "{flags:?}: {}", text(&output.stderr));
    }
}
