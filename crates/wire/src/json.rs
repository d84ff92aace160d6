//! Nodes as JSON.
