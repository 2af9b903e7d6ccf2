//! Random programs for the tests of the engine: each is made from a seed, executed as an entrypoint
//! by the worker, and comes to a result that is known beforehand, whatever happens to the processes
//! that execute it.
//!
//! # Layout
//! - `program`: what programs are made of, and what they come to
//! - `pace`: how long their steps take
//! - `execute`: the code of their steps
//! - `offered`: the task that they call and workers offer on its own
//! - `entrypoint`: the entrypoint that executes them, on threads that remember their runs
//! - `outside`: the world that programs have an effect on, and the check that nothing recorded ran
//!   again; `memory`: such a world in memory

mod entrypoint;
mod execute;
mod memory;
mod offered;
mod outside;
mod pace;
mod program;

pub use entrypoint::{Argument, CACHED_ENTRYPOINT, ENTRYPOINT, Output, entrypoints};
pub use memory::Memory;
pub use offered::{Asked, offered};
pub use outside::{Effect, Outside, run_again};
pub use pace::Pace;
pub use program::{BROKEN, FAIL, MODEL_TARGET, Program, answer};
