//! Tests of what is measured how; none of them looks at how long anything took.
