//! OVSDB (RFC 7047) client: transact and monitor.
