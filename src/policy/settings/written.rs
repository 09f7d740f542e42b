//! The settings as a policy again, to be saved and run: with the same model and samples it gives the same bytes.

use super::{Data, Settings, Validation};
use serde_json::{Map, Value, json};
use std::path::Path;

impl Settings {
    /// What a policy file has to say: every key that decides the bytes and is not as it would be without it, and where model,
    /// samples and output are.
    pub fn written(&self) -> Value {
        let canonical = self.canonical();
        let mut own = shortened(canonical.clone(), &Self::default().canonical());
        // What these two are without a word depends on the type.
        if let Some(Value::Object(weights)) = own.get_mut("weights") {
            let keys = ["granularity", "symmetric"].map(|key| (key.to_owned(), canonical["weights"][key].clone()));
            weights.extend(keys);
        }
        if let Some(Value::Object(half)) = own.get_mut("half") {
            half.retain(|key, value| match key.as_str() {
                "keep_io" => *value == json!(false),
                "block" => *value != json!([]),
                _ => true,
            });
        }
        let samples = own.remove("calibration");
        own.remove("held_back");
        let mut data = Map::new();
        if let (Some(calibration), Some(Value::Object(mut keys))) = (&self.calibration, samples) {
            let preprocess = keys.remove("preprocess").and_then(stated);
            data.extend(preprocess.map(|preprocess| ("preprocess".to_owned(), preprocess)));
            keys.extend(own.remove("on_bad_value").map(|word| ("on_bad_value".to_owned(), word)));
            keys.insert("path".to_owned(), path(&calibration.source.path));
            data.insert("calibration".to_owned(), Value::Object(keys));
        }
        match &self.validation {
            Validation::Samples(samples) if self.recorded.is_none() => {
                data.insert("validation".to_owned(), validation(samples));
            }
            Validation::Off => {
                data.insert("validation".to_owned(), json!({ "samples": 0 }));
            }
            Validation::Samples(_) | Validation::HeldBack => {}
        }
        data.extend(own.remove("engine").map(|engine| ("engine".to_owned(), engine)));
        data.extend(self.encodings.as_deref().map(|file| ("encodings".to_owned(), path(file))));
        let patterns = own.remove("fuse_patterns");
        own.extend(patterns.map(|fuse| ("prepare".to_owned(), json!({ "fuse_patterns": fuse }))));
        own.extend((!data.is_empty()).then(|| ("data".to_owned(), Value::Object(data))));
        own.extend(self.model.as_deref().map(|file| ("model".to_owned(), path(file))));
        own.extend(self.output.as_deref().map(|file| ("output".to_owned(), path(file))));
        own.insert("version".to_owned(), json!(1));
        Value::Object(own)
    }
}

fn path(path: &Path) -> Value {
    path.display().to_string().into()
}

fn validation(samples: &Data) -> Value {
    let mut keys = json!({ "path": path(&samples.source.path), "samples": samples.samples });
    if let Some(labels) = &samples.source.labels {
        keys["labels"] = path(labels);
    }
    keys
}

/// The keys of `value` that are not what they are in `defaults`, in objects within it, too.
fn shortened(value: Value, defaults: &Value) -> Map<String, Value> {
    let Value::Object(keys) = value else { return Map::new() };
    let own = keys.into_iter().filter_map(|(key, value)| match (&value, &defaults[&key]) {
        (value, default) if value == default => None,
        (Value::Object(_), default @ Value::Object(_)) => Some((key, Value::Object(shortened(value, default)))),
        _ => stated(value).map(|value| (key, value)),
    });
    own.collect()
}

/// The value without keys that say nothing; `None` where it says nothing itself.
fn stated(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Object(keys) => {
            let keys: Map<_, _> = keys.into_iter().filter_map(|(key, value)| Some((key, stated(value)?))).collect();
            (!keys.is_empty()).then_some(Value::Object(keys))
        }
        other => Some(other),
    }
}
