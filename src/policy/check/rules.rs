//! The rules of a policy, checked one by one.

use super::super::raw::{CalibratorName, Granularity, Mode, Raw, RawRule};
use super::super::settings::{Named, Pattern, Rule, WeightSettings};
use super::super::text::Place;
use crate::error::Result;

impl Raw {
    pub(super) fn rule(&self, index: usize, raw: &RawRule) -> Result<Rule> {
        let key = |rest: &str| format!("rules[{index}]{rest}");
        let pattern = |text: &str, rest: &str| {
            let at = key(rest);
            Pattern::new(text, self.place(&at).unwrap_or(Place::START)).map_err(|message| self.wrong(&at, message))
        };
        let node = raw.selection.node.as_deref().map(|text| pattern(text, ".match.node")).transpose()?;
        let value = raw.selection.value.as_deref().map(|text| pattern(text, ".match.value")).transpose()?;
        let op_types = raw.selection.op_type.iter().flatten().map(|text| pattern(text, ".match.op_type"));
        let op_types = op_types.collect::<Result<Vec<_>>>()?;
        if raw.selection.op_type.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.wrong(&key(".match.op_type"), "op_type names no operator; name one, or remove the key"));
        }
        let named = |(i, name): (usize, &String)| {
            let place = self.place(&key(&format!(".match.between[{i}]"))).unwrap_or(Place::START);
            Named { name: name.clone(), place }
        };
        let between = raw.selection.between.as_ref().map(|[from, to]| [named((0, from)), named((1, to))]);
        if node.is_none() && value.is_none() && op_types.is_empty() && between.is_none() {
            return Err(self.wrong(
                &key(".match"),
                "match is empty; name a node, an op_type, a value, or the two values of between",
            ));
        }
        if value.is_some() && between.is_some() {
            let message = "between selects nodes, and value selects values; give one of the two";
            return Err(self.wrong(&key(".match.between"), message));
        }

        let activations = raw.activations.clone().unwrap_or_default();
        let weights = raw.weights.clone().unwrap_or_default();
        let fixed = raw.range.is_some() || raw.scale.is_some() || raw.zero_point.is_some();
        if raw.mode.is_none() && raw.quantize.is_none() && !fixed && activations.is_empty() && weights.is_empty() {
            let message =
                "the rule changes nothing; give mode, quantize, activations, weights, range or scale, or remove it";
            return Err(self.wrong(&key(""), message));
        }
        self.check_activations(&key(".activations"), &activations, self.some_percentile())?;
        // A rule may give only one of the two; then what the nodes end up with is checked against the model.
        let alone = WeightSettings::default().with(&weights);
        let mode =
            raw.mode.or_else(|| Some(self.mode.unwrap_or_default()).filter(|_| self.rule_modes().next().is_none()));
        let certain = |key| match key {
            "symmetric" | "granularity" => weights.granularity.is_some(),
            "type" => mode != Some(Mode::WeightOnly) || weights.form.is_some(),
            "block_size" => weights.block_size.is_some(),
            // Type and symmetry may be stated elsewhere.
            "range" => mode != Some(Mode::WeightOnly),
            _ => true,
        };
        let trouble = mode.and_then(|mode| alone.in_mode(mode).trouble(mode, self.format.unwrap_or_default()));
        if let Some((part, why)) = trouble.filter(|(part, _)| certain(*part)) {
            return Err(self.wrong(&key(&format!(".weights.{part}")), why));
        }
        let blocks = WeightSettings { granularity: weights.granularity.unwrap_or(Granularity::PerBlock), ..alone };
        self.check_block(&key(".weights"), &weights, blocks)?;
        self.check_floats(&key(".weights"), &weights)?;
        if value.is_some() && raw.mode.is_some() {
            let message = "mode belongs to nodes; match a node or an op_type, without value";
            return Err(self.wrong(&key(".mode"), message));
        }
        if value.is_some() && !weights.is_empty() {
            let message = "weights belong to nodes; match a node or an op_type, without value";
            return Err(self.wrong(&key(".weights"), message));
        }
        let value_named = value.is_some();
        let range = raw.range.map(|range| self.range(&key(".range"), range, value_named)).transpose()?;
        Ok(Rule {
            node,
            op_types,
            value,
            mode: raw.mode,
            quantize: raw.quantize,
            reason: raw.reason.clone(),
            activations,
            weights,
            between,
            range,
            grid: self.grid(&key, raw, value_named)?,
            place: self.place(&key("")).unwrap_or(Place::START),
        })
    }

    /// Whether anything in the policy asks for the calibrator `percentile`, so that a percentile alone has a meaning.
    fn some_percentile(&self) -> bool {
        let rules = self.rules.iter().flatten().filter_map(|rule| rule.activations.as_ref());
        let mut all = self.activations.iter().chain(rules);
        all.any(|activations| activations.calibrator == Some(CalibratorName::Percentile))
    }

    fn range(&self, key: &str, [low, high]: [f64; 2], has_value: bool) -> Result<(f32, f32)> {
        if !has_value {
            return Err(self.wrong(key, "a range is for one value; name it with match: { value: ... }"));
        }
        let (low, high) = (low as f32, high as f32);
        if !low.is_finite() || !high.is_finite() {
            return Err(self.wrong(key, "both ends of a range must be finite in float32"));
        }
        if low >= high {
            return Err(self.wrong(key, format!("a range goes from low to high; found [{low}, {high}]")));
        }
        Ok((low, high))
    }

    /// The fixed scale and zero point of a rule.
    fn grid(&self, key: &dyn Fn(&str) -> String, raw: &RawRule, has_value: bool) -> Result<Option<(f32, i32)>> {
        let (scale, zero) = match (raw.scale, raw.zero_point) {
            (None, None) => return Ok(None),
            (Some(scale), Some(zero)) => (scale as f32, zero),
            (Some(_), None) => return Err(self.wrong(&key(".scale"), "a scale needs its zero_point; give both")),
            (None, Some(_)) => return Err(self.wrong(&key(".zero_point"), "a zero_point needs its scale; give both")),
        };
        if !has_value {
            return Err(self.wrong(&key(".scale"), "a scale is for one value; name it with match: { value: ... }"));
        }
        if raw.range.is_some() {
            return Err(self.wrong(&key(".scale"), "range and scale say the same twice; give one of the two"));
        }
        if !(scale.is_normal() && scale > 0.0) {
            return Err(self.wrong(&key(".scale"), "scale must be above 0 and a normal number in float32"));
        }
        // Whether the value's type holds it is known when the rules meet a model.
        match i32::try_from(zero) {
            Ok(zero) => Ok(Some((scale, zero))),
            Err(_) => Err(self.wrong(&key(".zero_point"), "zero_point is beyond every integer type")),
        }
    }
}
