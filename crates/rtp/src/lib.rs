//! RTP audio: packets, payloads, packetizer, timeline, ST 2022-7 merge.

#![no_std]
#![forbid(unsafe_code)]
