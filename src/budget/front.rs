//! The assignments that no other beats.

/// The places of those in `tried`, each a cost and a loss, of which no other has less of one and no more of the other, the cheapest
/// first.
pub fn front(tried: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..tried.len()).filter(|&at| !tried[at].1.is_nan()).collect();
    order.sort_by(|&a, &b| tried[a].0.total_cmp(&tried[b].0).then(tried[a].1.total_cmp(&tried[b].1)));
    let mut least = f64::INFINITY;
    order.retain(|&at| {
        let better = tried[at].1 < least;
        least = least.min(tried[at].1);
        better
    });
    order
}
