//! The quantized model as a runtime computes it, as text.

use crate::validate::{Distance, RuntimeOutput, ThreeWay};
use std::fmt::{self, Display, Formatter};

impl Display for ThreeWay {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "reference    {}, the quantized model on the same samples", self.runtime)?;
        let levels = [("disable all", &self.disable_all), ("default", &self.default)];
        for (level, at) in levels {
            if let Some(why) = &at.refused {
                writeln!(f, "  refused    at level {level}: {why}")?;
            }
        }
        self.outputs.iter().try_for_each(|output| write!(f, "{output}"))?;
        self.layers.as_ref().map_or(Ok(()), |layers| write!(f, "{layers}"))
    }
}

impl Display for RuntimeOutput {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "  output     {}: {}; a step is {:.3e}", self.name, self.verdict, self.step)?;
        let rows = [
            ("float", "re-execution", Some(&self.float_to_own)),
            ("re-execution", "disable all", self.own_to_disable_all.as_ref()),
            ("re-execution", "default", self.own_to_default.as_ref()),
            ("float", "disable all", self.float_to_disable_all.as_ref()),
            ("float", "default", self.float_to_default.as_ref()),
        ];
        for (from, to, distance) in rows {
            if let Some(distance) = distance {
                writeln!(f, "    {from:<12} -> {to:<12}  {distance}")?;
            }
        }
        Ok(())
    }
}

impl Display for Distance {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.identical {
            return f.write_str("no difference");
        }
        match self.sqnr_db {
            Some(db) => write!(f, "{:>10}", format!("{db:.1} dB"))?,
            None => write!(f, "{:>10}", "no SQNR")?,
        }
        write!(f, "  max abs {:.3e}", self.max_abs)?;
        if let Some(steps) = self.steps {
            write!(f, ", {steps:.2} steps")?;
        }
        match self.not_finite {
            0 => Ok(()),
            count => write!(f, "; {count} elements NaN or infinite"),
        }
    }
}
