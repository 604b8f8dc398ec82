//! A small incremental Datalog runtime over Z-sets.
//!
//! A [`Builder`] takes typed inputs and rules, written as operators on [`Relation`]s, and makes a [`Program`]. The
//! program takes transactions (rows in, rows out) and gives the changes of its outputs. Work is in proportion to what
//! changes: not to the rows that are stored, and not to the number of rules.
//!
//! The theory is that of DBSP (Budiu et al., "DBSP: Automatic Incremental View Maintenance", VLDB 2023): relations are
//! Z-sets (rows with integer weights), linear operators are their own incremental versions, joins are bilinear,
//! `distinct` needs the state of its input. The form is chosen for many rules, small changes, one thread:
//!
//! - Each relation that is indexed is stored once; joins, semijoins and antijoins hold no state.
//! - `map`, `filter`, `flat_map` and `concat` are closures on the way from one store to the next.
//! - A step visits the operators whose input changed and no other.
//! - No structure is ever rebuilt in one piece, so no step pays for the growth of a table.
//!
//! # Weights
//! A row's weight is the sum of what was inserted and removed; a derived row's weight follows from those of its sources
//! (products in joins, sums in unions and maps). Results depend on these sums alone, not on the order of changes or on
//! how they were cut into steps. A row that was removed without having been inserted has a negative weight until it is
//! made up for: nothing is corrupted, sets and `min_by` do not contain it, joins and counts carry the minus on.
//! `distinct` before an output or a join makes a set of a bag.
//!
//! ```
//! use tuplenet_datalog::Builder;
//!
//! let builder = Builder::new();
//! let (parent, parents) = builder.input::<(&str, &str)>("parent");
//! // grandparent(A, C) <- parent(A, B), parent(B, C).
//! let by_child = parents.index(|&(_, child)| child);
//! let by_parent = parents.index(|&(parent, _)| parent);
//! let grandparents = by_child.join(&by_parent, |_, &(a, _), &(_, c)| (a, c)).distinct().output();
//!
//! let mut program = builder.build();
//! program.insert(parent, ("Ann", "Bea"));
//! program.insert(parent, ("Bea", "Cid"));
//! program.step();
//! assert_eq!(program.drain(grandparents), [(("Ann", "Cid"), 1)]);
//! program.remove(parent, ("Bea", "Cid"));
//! program.step();
//! assert_eq!(program.drain(grandparents), [(("Ann", "Cid"), -1)]);
//! ```

mod handle;
mod hash;
mod ids;
mod index;
mod join;
mod keymap;
mod node;
mod order;
mod paged;
mod port;
mod program;
mod reach;
mod reduce;
mod relation;
mod stream;
mod table;
mod weights;
mod zset;

pub use handle::{Input, Output, Stored};
pub use node::Statistics;
pub use program::{Counters, Program, RelationCounter};
pub use relation::{Builder, Index, Relation, reach};

/// What a relation consists of: any plain value. Equal rows must have equal hashes, and cloning should be cheap
/// (numbers, addresses, `Rc<str>`).
pub trait Row: Clone + Eq + std::hash::Hash + std::fmt::Debug + 'static {}

impl<T: Clone + Eq + std::hash::Hash + std::fmt::Debug + 'static> Row for T {}
