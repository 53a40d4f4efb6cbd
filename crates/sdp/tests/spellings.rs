//! The examples of `tests/vectors/sdp` in other spellings, as devices and tools make them of the same thing: each says
//! what the example says.

use std::{fs, path::PathBuf};

use wireloom_sdp::{Parsed, Stream, read};

fn examples() -> Vec<(String, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/sdp");
    let entries = fs::read_dir(directory).expect("the vectors are part of the source");
    let paths = entries.map(|entry| entry.expect("a readable directory").path());
    let named = paths.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)));
    let examples: Vec<_> = named
        .filter(|(name, _)| name.starts_with('e') && name.ends_with(".sdp"))
        .map(|(name, path)| (name, fs::read_to_string(path).expect("readable")))
        .collect();
    assert_eq!(examples.len(), 26, "the examples are there");
    examples
}

/// What a receiver concludes: everything but texts that are handed on as they came.
fn meaning(parsed: Parsed) -> Vec<Stream> {
    let plain = |mut stream: Stream| {
        stream.refclk_text = None;
        stream.refclk.dedup();
        stream.vendor = Default::default();
        if let Some(address) = stream.origin.ip() {
            stream.origin.address = address.to_string();
        }
        stream
    };
    parsed.streams.into_iter().map(plain).collect()
}

#[track_caller]
fn every_example_says_the_same(what: &str, respell: impl Fn(&str) -> String) {
    let mut changed = 0;
    for (name, text) in examples() {
        let respelt = respell(&text);
        changed += usize::from(respelt != text);
        let found = read(respelt.as_bytes()).map(meaning);
        assert_eq!(found, read(text.as_bytes()).map(meaning), "{name}: {what}\n{respelt}");
    }
    assert!(changed > 0, "{what} is nowhere in the examples");
}

fn by_line(respell: impl Fn(&str) -> String) -> impl Fn(&str) -> String {
    move |text| text.lines().map(|line| respell(line) + "\r\n").collect()
}

/// Lines that begin so, respelt.
fn lines(begin: &str, respell: impl Fn(&str) -> String) -> impl Fn(&str) -> String {
    by_line(move |line| if line.starts_with(begin) { respell(line) } else { line.to_owned() })
}

#[test]
fn line_ends_and_blanks_say_nothing() {
    let ended =
        |end: &'static str| move |text: &str| text.lines().map(|line| line.to_owned() + end).collect();
    for end in ["\n", "\r", "\r\n", "\n\r", "\r\r\n", " \t \r\n", "\0\n", "\r\n\r\n"] {
        every_example_says_the_same(&format!("{end:?} after each line"), ended(end));
    }
    every_example_says_the_same("no end of the last line", |text| text.trim_end().to_owned());
    every_example_says_the_same("NUL at the end", |text| format!("{text}\0\0"));
    every_example_says_the_same("a byte order mark", |text| format!("\u{feff}{text}"));
    every_example_says_the_same("blanks before each line", by_line(|line| format!(" \t{line}")));
    every_example_says_the_same("blanks around =", by_line(|line| line.replacen('=', " = ", 1)));
    for blanks in ["\t", "   "] {
        for begin in
            ["o=", "c=", "m=", "t=", "a=rtpmap", "a=source-filter", "a=group", "a=fmtp", "a=clock-domain"]
        {
            let what = format!("{blanks:?} between the fields of {begin}");
            every_example_says_the_same(&what, lines(begin, |line| line.replace(' ', blanks)));
        }
    }
    for colon in [" :", ": ", ":\t"] {
        let what = format!("{colon:?} after the name of an attribute");
        every_example_says_the_same(&what, lines("a=", |line| line.replacen(':', colon, 1)));
    }
    for begin in ["a=mediaclk", "a=ts-refclk"] {
        let respell = lines(begin, |line| line.replace('=', " = ").replacen("a = ", "a=", 1));
        every_example_says_the_same(&format!("blanks in {begin}"), respell);
    }
    every_example_says_the_same("blanks in rtpmap", lines("a=rtpmap", |line| line.replace('/', " / ")));
}

#[test]
fn case_says_nothing() {
    let name = |line: &str| match line.split_once(':') {
        Some((name, value)) => format!("a{}:{value}", name[1..].to_uppercase()),
        None => format!("a{}", line[1..].to_uppercase()),
    };
    every_example_says_the_same("upper case in names of attributes", lines("a=", name));
    every_example_says_the_same(
        "upper case in attributes",
        lines("a=", |line| format!("a{}", line[1..].to_uppercase())),
    );
    every_example_says_the_same("lower case in attributes", lines("a=", str::to_lowercase));
    for begin in ["c=", "m="] {
        let upper = lines(begin, |line| format!("{}{}", &line[..1], line[1..].to_uppercase()));
        every_example_says_the_same(&format!("upper case in {begin}"), upper);
        every_example_says_the_same(&format!("lower case in {begin}"), lines(begin, str::to_lowercase));
    }
    every_example_says_the_same("lower case in o=", lines("o=", |line| line.replace("IN IP", "in ip")));
}

#[test]
fn numbers_are_written_in_many_ways() {
    let fraction = |line: &str| if line.contains('.') { format!("{line}00") } else { format!("{line}.000") };
    every_example_says_the_same("more decimals", lines("a=ptime", fraction));
    every_example_says_the_same("a decimal comma", lines("a=ptime", |line| line.replace('.', ",")));
    every_example_says_the_same("a unit", lines("a=ptime", |line| format!("{line} ms")));
    every_example_says_the_same("a zero before", lines("a=ptime:", |line| line.replacen(':', ":0", 1)));
    let point = |line: &str| if line.contains('.') { line.to_owned() } else { format!("{line}.") };
    every_example_says_the_same("nothing after the point", lines("a=ptime", point));
    for begin in ["o=", "c=", "a=source-filter"] {
        let padded = lines(begin, |line| line.replace("192.0.2.", "192.000.002."));
        every_example_says_the_same(&format!("zeros before numbers in {begin}"), padded);
    }
}

#[test]
fn what_is_said_twice_or_not_needed_says_nothing_more() {
    every_example_says_the_same("no t=", |text| {
        text.lines().filter(|line| !line.starts_with("t=")).map(|line| format!("{line}\r\n")).collect()
    });
    for begin in ["a=", "c=", "s=", "t=", "i=", "o="] {
        let twice = lines(begin, |line| format!("{line}\r\n{line}"));
        every_example_says_the_same(&format!("{begin} twice"), twice);
    }
    let group = |count: &'static str| {
        lines("c=IN IP4 2", move |line| {
            if line.matches('/').count() == 1 { format!("{line}{count}") } else { line.into() }
        })
    };
    for count in ["/1", "/2", "/"] {
        every_example_says_the_same(&format!("{count} after the TTL"), group(count));
    }
    for ports in ["/1", "/2"] {
        let respell = lines("m=", |line| line.replacen(" RTP", &format!("{ports} RTP"), 1));
        every_example_says_the_same(&format!("{ports} after the port"), respell);
    }
    every_example_says_the_same("more payload types", lines("m=audio", |line| format!("{line} 0 8")));
    every_example_says_the_same("a comment", |text| format!("# exported\r\n{text}"));
}

/// The session part and the media sections, each line by line.
fn sections(text: &str) -> Vec<Vec<&str>> {
    let mut sections = vec![Vec::new()];
    for line in text.lines() {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        sections.last_mut().expect("begins with one").push(line);
    }
    sections
}

fn written(sections: &[Vec<&str>]) -> String {
    sections.iter().flatten().map(|line| format!("{line}\r\n")).collect()
}

#[test]
fn the_order_of_lines_and_the_level_of_attributes_say_nothing() {
    every_example_says_the_same("another order in each section", |text| {
        let mut sections = sections(text);
        let (session, media) = sections.split_first_mut().expect("has a session part");
        session[1..].reverse();
        media.iter_mut().for_each(|section| section[1..].reverse());
        written(&sections)
    });
    every_example_says_the_same("everything in the session part", |text| match &mut sections(text)[..] {
        [session, media] => {
            // An SSRC is of a media section (RFC 5576 §4.1).
            let stays = |line: &&str| line.starts_with("m=") || line.starts_with("a=ssrc");
            let (ours, theirs): (Vec<&str>, Vec<&str>) = media.iter().partition(|line| stays(line));
            session.extend(theirs);
            written(&[session.clone(), ours])
        }
        _ => text.to_owned(),
    });
    every_example_says_the_same("everything in the media section", |text| match &mut sections(text)[..] {
        [session, media] => {
            let of_media = |line: &&str| line.starts_with("a=") || line.starts_with("c=");
            let (theirs, ours): (Vec<&str>, Vec<&str>) = session.iter().partition(|line| of_media(line));
            media.extend(theirs);
            written(&[ours, media.clone()])
        }
        _ => text.to_owned(),
    });
}
