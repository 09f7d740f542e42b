//! The page of made-up reports.
