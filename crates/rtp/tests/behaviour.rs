//! Dropouts against loss, jitter and latency, as a table: a changed number is a changed behaviour.

mod world;

use std::fmt::Write as _;
use std::path::Path;

use world::{Random, Reader, Source, Weather};

const PACKETS: u64 = 10_000;

/// Compared with `tests/vectors/rtp/behaviour.expect`; `UPDATE_EXPECT=1` rewrites it.
#[test]
fn dropouts_are_as_the_table_says() {
    let mut table = String::from(
        "# 10 s of L24 in packets of 1 ms, read 64 frames at a time; delay 20 + 0..jitter samples\n\
         # loss_per_mille jitter reorder latency: lost late gaps gap_frames\n",
    );
    for (loss, jitter, reorder) in [(0, 0, 0), (0, 48, 0), (0, 200, 0), (1, 48, 0), (10, 48, 3), (50, 48, 0)]
    {
        for latency in [96, 144, 192, 288, 480] {
            let source = Source::stereo(48);
            let start = 1 << 34;
            let weather = Weather { delay: 20, jitter, loss: loss as f64 / 1e3, duplicates: 0.0, reorder };
            let arrivals = weather.pass(&source.stream(start, 1, PACKETS), &mut Random(loss + jitter));
            let mut reader = Reader::new(source.timeline(2048), 2, 64, latency);
            let end = start + PACKETS * 48 - 64; // the end of the stream is no dropout
            reader.play(&arrivals, start, end, "table");
            let counters = reader.timeline.counters();
            writeln!(
                table,
                "{loss} {jitter} {reorder} {latency}: {} {} {} {}",
                counters.lost, counters.late, counters.gaps, counters.gap_frames
            )
            .expect("a string");
        }
    }
    let expect = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/rtp/behaviour.expect");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&expect, &table).expect("writable");
    }
    assert_eq!(table, std::fs::read_to_string(&expect).expect("the table exists"));
}
