//! The whole node, from outside and in simulation.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod client;
mod cluster;
mod processes;
