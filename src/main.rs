//! Parses, dispatches, prints the error, returns the exit code.

fn main() {}
