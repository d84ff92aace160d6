//! Services that a test starts for itself and that end with it.
