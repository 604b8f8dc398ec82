//! What a TupleNet network means: facts in, flows, groups and bindings out.
//!
//! What a packet experiences is decided here and nowhere else. Facts (objects of the store, Interfaces of the bridge, tunnel ports) go into
//! [`Engine::apply`]; what changes of the results comes out. Each rule module states its rules in Datalog form, its stage and its
//! cost per change.
//!
//! ```text
//! change -> intake -> claim ----> datapath -> valid_port -> port -> flows/* -> flow_table, group_table -> output
//!           (facts)   (who has    (valid,                  (where) (one a feature)   (counted by cause)
//!                      which)      present)
//! ```
//! Numbers stand in one place each: tables in [`stage`], registers and flags in [`register`], cookies in [`cookie`], what packet-ins are for in
//! [`userdata`].

mod change;
mod claim;
mod contest;
pub mod cookie;
mod datapath;
mod endpoint;
mod engine;
mod fact;
mod flow;
mod flow_table;
mod flows;
mod group_table;
mod handler;
mod hop;
pub mod icmp;
mod intake;
mod nat;
mod output;
pub mod outside;
mod patch;
mod port;
pub mod probe;
mod program;
pub mod register;
pub mod stage;
pub mod trace;
pub mod userdata;
mod valid_port;
mod watch;

pub use change::{Change, ClaimMark, Config, LocalInterface, LocalPatch, Scope, UntunnelPort};
pub use engine::Engine;
pub use flows::ecmp::{NO_PORT, UNWATCHED};
pub use flows::{
    ecmp::is_group as is_ecmp_group, redirect::is_group as is_redirect_group, steer::is_group as is_steer_group,
};
pub use output::{
    Bucket, ClaimChange, FlowChange, Group, GroupChange, GroupForm, HashField, Output, PatchPair, Reject, Selection,
    Translated, Watch,
};
