//! Simulation: virtual time, drifting clocks, lossy links.
