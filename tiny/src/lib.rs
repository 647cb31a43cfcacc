//! Moves an installed appliance to a new system in place, and keeps two systems on one disk.
//!
//! One static program runs in two places: as the main program of the tiny system that stage one boots (`steps`), and in
//! the new system as `image-slots` (`slots`). `image-create` uses the types of the manifest to write it.

pub mod layout;
pub mod manifest;
pub mod restore;
pub mod selinux;
pub mod slots;
pub mod steps;
