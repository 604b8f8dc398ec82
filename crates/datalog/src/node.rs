//! What a program knows of its operators.

/// An operator with state, scheduled when its input changed.
pub(crate) trait Node {
    /// Takes what waits in its buffers and sends the consequences on.
    fn run(&self);
    fn kind(&self) -> &'static str;
    fn name(&self) -> Option<&'static str>;
    fn statistics(&self) -> Option<Statistics> {
        None
    }
    /// Drops the references to other operators: joins refer to each other in circles.
    fn disconnect(&self);
}

/// What one store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The relation's name, if it has one.
    pub name: Option<&'static str>,
    /// Rows stored (for `reduce`: groups remembered; for `reach`: nodes).
    pub rows: usize,
    /// For each index and order over the rows, the number of its groups.
    pub groups: Vec<usize>,
    /// Heap of rows and indexes in bytes, without what the rows point to.
    pub bytes: usize,
}
