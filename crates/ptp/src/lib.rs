//! PTPv2 ports, best master clock algorithm and the clock estimator.

#![no_std]
#![forbid(unsafe_code)]
