//! Puts the configuration that was kept from the old system into a new one.
