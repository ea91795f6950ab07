//! The history of a node that survives its end.
