//! Carrying events between the nodes of a cluster.
