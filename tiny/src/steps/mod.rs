//! Stage two: what the tiny system does, step by step.
