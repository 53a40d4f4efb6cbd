//! The D-Bus contract: XML, names and a typed client.
