//! The programs that hooks call, answered by the one binary under their names.
