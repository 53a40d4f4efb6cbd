//! SDP, the AES67 reading of it, and SAP.

#![no_std]
#![forbid(unsafe_code)]
