//! Elements: catalog, expansion, hook tree, selection of scripts, lint. Deciding half.

pub mod run_order;
