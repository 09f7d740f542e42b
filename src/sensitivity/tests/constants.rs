//! Constants that are not simply the weight of a layer.

use super::*;

/// Two tables that are looked up at a place which the input's shape tells, added to the input, and a layer behind them.
fn looked_up() -> Model {
    let net = Builder::new(13).input("x", &[-1, 3, 8, 8]).output("y", &[-1, 3, 8, 5]);
    let net = net.noise("s", &[9, 8], 1).noise("t", &[512, 8], 2).noise("w", &[8, 5], 3).ints("three", &[3]);
    let net = net.node("Shape", &["x"], &["shape"], vec![]);
    let net = net.node("Gather", &["shape", "three"], &["place"], vec![]);
    let net = net.node("Gather", &["s", "place"], &["a"], vec![]).node("Gather", &["t", "place"], &["b"], vec![]);
    let net = net.node("Add", &["x", "a"], &["xa"], vec![]).node("Add", &["xa", "b"], &["xab"], vec![]);
    net.node("MatMul", &["xab", "w"], &["y"], vec![]).build()
}

#[test]
fn tables_looked_up_at_fixed_places_are_layers_of_their_own() {
    let case = Case::of(looked_up(), "");
    let names: Vec<&str> = case.parts.units.iter().map(|unit| unit.node.as_str()).collect();
    assert!(["Gather_a", "Gather_b", "MatMul_y"].iter().all(|name| names.contains(name)), "{names:?}");
    let (measured, brute) = (case.measure(), case.brute());
    for (index, (own, other)) in measured.totals.iter().zip(&brute).enumerate() {
        assert!(close(own, other), "variant {index}: {own:?} {other:?}");
    }
    let damage = |name: &str| {
        let unit = names.iter().position(|own| *own == name).expect("a unit");
        measured.totals[case.variants.units[unit].alone].damage().sqnr_db
    };
    let (a, b) = (damage("Gather_a"), damage("Gather_b"));
    assert!(a.is_some() && b.is_some() && a != b, "{a:?} {b:?}");
}
