//! The whole node, from outside and in simulation.

mod client;
mod cluster;
mod processes;
