//! Texts that are no policy, hostile ones, and those that only look unusual.

use super::*;

#[test]
fn yaml_that_is_none_is_refused() {
    fails(
        "model: \"open\n",
        2,
        8,
        "this is not valid YAML: while scanning a quoted scalar, found unexpected end of stream",
    );
    fails("model: *no", 2, 8, "this is not valid YAML: while parsing node, found unknown anchor");
    fails("model: a\nmodel: b", 3, 1, "the key \"model\" is given twice, first on line 2; remove one");
    fails(
        "rules:\n  - match: { node: a }\n    quantize: true\n    match: {}",
        5,
        5,
        "the key \"match\" is given twice, first on line 3; remove one",
    );
    // Only serde_yaml refuses this.
    let tab = "found a tab character that violates indentation, while scanning a plain scalar at line 2 column 8";
    fails("model: a\n\t\nmode: static", 3, 1, &format!("this is not valid YAML: {tab}"));
    fails("---\nversion: 1", 2, 1, "a second document begins here; a policy is one document, without ---");
    fails("model: !!str a", 2, 8, "tags (!...) have no meaning in a policy; remove it, or quote the text");
    fails("[a]: 1", 2, 1, "a key is a plain word, not a list, keys or an alias");
    fails("rules: &a [*a]", 2, 12, "this alias stands inside what it names");
}

#[test]
fn aliases_stand_for_what_they_name() {
    let text = "version: 1\nmodel: &m a\noutput: *m\ndata: { calibration: &c { path: b }, validation: *c }";
    let s = settings(text).unwrap();
    assert_eq!((s.model, s.output), (Some(PathBuf::from("dir/a")), Some(PathBuf::from("dir/a"))));
    assert_eq!(s.validation.samples().unwrap().source.path, Path::new("dir/b"));
    let nested = "rules:\n  - match: &m { nod: a }\n    quantize: false\n  - match: *m";
    fails(nested, 3, 17, "unknown key \"nod\"; did you mean \"node\"? Known here: node, op_type, value, between");
    let second = "rules:\n  - match: { node: &n a }\n    quantize: &q no\n  - match: *q";
    fails(second, 4, 15, "quantize must be true or false; found \"no\"");
}

#[test]
fn what_two_parsers_would_read_differently_is_refused() {
    // serde_yaml would take b's value for the second a.
    let moved = "model: &a m\noutput: &a o\ndata: { calibration: { path: &b c, labels: *a } }";
    fails(moved, 3, 9, "the anchor \"a\" is there already; give this one another name");
    fails("model: &a: m", 2, 8, "an anchor's name is made of letters, digits, - and _");
    fails("model: &&a m", 2, 8, "an anchor's name is made of letters, digits, - and _");
    fails("model: &a.b m", 2, 8, "an anchor's name is made of letters, digits, - and _");
    fails("data: { ?preprocess: {} }", 2, 9, "a text that begins with ? is put in quotes");
    let says = |code: &str| {
        format!(
            "the character U+{code} cannot stand here; in a text in double quotes it is written \\u{}",
            code.to_lowercase()
        )
    };
    fails("# \u{85}model: a", 2, 3, &says("0085"));
    fails("# \r\n\r\u{e9}\u{2028}model: a", 4, 2, &says("2028"));
    fails("model: a\0", 2, 9, &says("0000"));
    fails("model: \"a\u{feff}\"", 2, 10, &says("FEFF"));
    let escaped = settings("version: 1\nmodel: \"a\\u0085\\u2028\u{a0}\"").unwrap();
    assert_eq!(escaped.model, Some(PathBuf::from("dir/a\u{85}\u{2028}\u{a0}")));
}

#[test]
fn a_file_that_is_no_policy_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    assert!(load(&path).unwrap_err().to_string().contains("p.yaml: the policy cannot be opened: "));
    std::fs::write(&path, [0xff, 0xfe, 0]).unwrap();
    assert!(load(&path).unwrap_err().to_string().ends_with("p.yaml: the policy is not UTF-8 text; save it as UTF-8"));
    std::fs::write(&path, " ".to_owned() + &"\u{e9}".repeat(1 << 20)).unwrap();
    let error = load(&path).unwrap_err().to_string();
    assert!(
        error.ends_with("p.yaml: this is larger than 1 MiB, which no policy needs; is it the right file?"),
        "{error}"
    );
    std::fs::write(&path, "\u{feff}version: 1\r\nmodel: m.onnx\r\n").unwrap();
    assert_eq!(load(&path).unwrap().model, Some(folder.path().join("m.onnx")));
}

#[test]
fn hostile_texts_cost_little_and_overflow_nothing() {
    for unit in ["[", "{", "- ", "? ", "a: [", "[a: {b: ", "&a [", "!a ", "a: ", ": ", "- - a\n", "{a: 1}, "] {
        for begin in ["", "version: 1\nrules: ", "version: 1\nrules: ["] {
            settings(&format!("{begin}{}", unit.repeat(100_000))).map(|s| s.canonical()).unwrap_err();
        }
    }
    let deep = settings(&format!("version: 1\nrules: {}", "[".repeat(33))).unwrap_err().to_string();
    assert_eq!(deep, "dir/p.yaml:2:39: the policy is nested more than 32 deep");

    // Each line names the one before ten times: 10^9 values, written out.
    let bomb = (1..10).fold("a0: &a0 [x]\n".to_owned(), |text, i| {
        let names = vec![format!("*a{}", i - 1); 10].join(", ");
        text + &format!("a{i}: &a{i} [{names}]\n")
    });
    let error = settings(&bomb).unwrap_err().to_string();
    assert!(error.ends_with("the policy has more than 100000 keys and values, aliases written out"), "{error}");
    // Small lists, named very often.
    let wide = format!("a: &a [{}]\nb: [{}]", "x,".repeat(1000), "*a,".repeat(100_000));
    assert!(settings(&wide).unwrap_err().to_string().contains("more than 100000 keys"));
    // A long text, named very often.
    let long = format!("rules: [{{ match: {{ op_type: [&a {}, {}] }} }}]", "x".repeat(500_000), "*a,".repeat(90_000));
    assert!(settings(&long).unwrap_err().to_string().contains("more than 4 MiB of text, aliases written out"));
}

#[test]
fn what_a_flag_says_is_blamed_on_no_line() {
    let text = "version: 1\nio:\n  inputs: { a.b: uint8 }\n  outputs: uint8\n";
    let mut raw = Raw::parse(text, Path::new("p.yaml")).expect("a policy");
    let said = |raw: &Raw, key: &str, name: &str| {
        raw.settings().expect("a policy").blame_name(key, name, Error::value("v", "is odd")).to_string()
    };
    assert_eq!(said(&raw, "io.inputs", "a.b"), "p.yaml:3:13: value \"v\": is odd");
    assert_eq!(said(&raw, "io.outputs", "a.b"), "p.yaml:4:12: value \"v\": is odd");
    raw.override_with(&Overrides { io: Some(IoType::Int8), ..Overrides::default() });
    assert_eq!(said(&raw, "io.inputs", "a.b"), "value \"v\": is odd");
    assert_eq!(said(&Raw::default(), "io.inputs", "a.b"), "value \"v\": is odd");
}
