//! OpenFlow 1.5 with the Nicira extensions: codec and connection.
