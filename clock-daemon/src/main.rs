//! PTP on ports 319/320; publishes the clock page.

fn main() {}
