//! Names of a built program's inputs and outputs: plain numbers, with the type of their rows.

use std::marker::PhantomData;

macro_rules! handle {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        pub struct $name<T> {
            pub(crate) port: u32,
            row: PhantomData<fn(T) -> T>,
        }

        impl<T> $name<T> {
            pub(crate) fn new(port: u32) -> Self {
                $name { port, row: PhantomData }
            }
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $name<T> {}

        impl<T> std::fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.port).finish()
            }
        }
    };
}

handle! {
    /// Names an input of a program. See [`crate::Program::insert`].
    Input
}
handle! {
    /// Names an output of a program. See [`crate::Program::drain`].
    Output
}
handle! {
    /// Names a relation of a program whose rows can be listed. See [`crate::Program::scan`].
    Stored
}
