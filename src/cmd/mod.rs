//! One file per verb, each with a `run`.
