//! How large the volumes become on a disk of a given size.
