//! Stage one, run by real shells against an old system made of files.

mod machine;
mod refusals;
mod runs;
