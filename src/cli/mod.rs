//! Command line definitions: clap structs only, one file per verb.
