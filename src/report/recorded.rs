//! The quantized model beside a recording, as text.

use crate::validate::{Recorded, RecordedOf, RecordedOutput};
use std::fmt::{self, Display, Formatter};

impl Display for Recorded {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "recorded     {}, inputs and outputs", self.path)?;
        self.outputs.iter().try_for_each(|output| write!(f, "{output}"))
    }
}

impl Display for RecordedOutput {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let of = match self.of {
            Some(RecordedOf::Float) => "; recorded of the float model",
            Some(RecordedOf::Quantized) => "; recorded of the quantized model",
            None => "",
        };
        writeln!(f, "  output     {}: {}{of}; a step is {:.3e}", self.name, self.verdict, self.step)?;
        let rows = [
            ("float", "re-execution", Some(&self.float_to_own)),
            ("recorded", "float", Some(&self.recorded_to_float)),
            ("recorded", "re-execution", Some(&self.recorded_to_own)),
            ("recorded", "disable all", self.recorded_to_disable_all.as_ref()),
            ("recorded", "default", self.recorded_to_default.as_ref()),
        ];
        for (from, to, distance) in rows {
            if let Some(distance) = distance {
                writeln!(f, "    {from:<12} -> {to:<12}  {distance}")?;
            }
        }
        Ok(())
    }
}
