//! BuildRequest: everything that was asked for, checked; the only reader of the environment.
