//! Requests of OAT-CTL/1 as HTTP carries them, and those that are refused.

use wireloom_oat::control::{Code, Fault, Reply, Request, Source, read_device, read_input, read_streams};

fn vector(name: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/vectors/oat/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn parse(method: &str, path: &str, body: &[u8]) -> Result<Request, Fault> {
    Request::parse(method, path, None, Some("mixtee-01b7.local"), body)
}

#[test]
fn the_table_of_requests_is_read() {
    let input = "mixtee-01b7/rx/return-1-8";
    let source = Source::Stream { host: "169.254.23.183".into(), port: 50_000, sid: 1, channels: 2, pt: 97 };
    let body = br#"{"host":"169.254.23.183","port":50000,"sid":1,"channels":2,"pt":97}"#;
    for (method, path, body, request) in [
        ("GET", "/oat/v1/device", &b""[..], Request::Device),
        ("GET", "/oat/v1/streams?x=1", b"", Request::Streams),
        ("PATCH", "/oat/v1/device", br#"{"name":" Bass Synth "}"#, Request::Rename("Bass Synth".into())),
        (
            "GET",
            "/oat/v1/streams/mixtee-01b7%2Ftx%2Fadc/sdp",
            b"",
            Request::Description("mixtee-01b7/tx/adc".into()),
        ),
        ("GET", "/oat/v1/inputs/mixtee-01b7/rx/return-1-8", b"", Request::Input(input.into())),
        (
            "PUT",
            "/oat/v1/inputs/mixtee-01b7%2frx%2freturn-1-8/source",
            body,
            Request::Play { input: input.into(), source },
        ),
        ("DELETE", "/oat/v1/inputs/mixtee-01b7/rx/return-1-8/source", b"", Request::Stop(input.into())),
    ] {
        assert_eq!(parse(method, path, body), Ok(request), "{method} {path}");
    }
    assert!(matches!(
        parse("PUT", "/oat/v1/inputs/a/source", &vector("source.json")),
        Ok(Request::Play { source: Source::Described { .. }, .. })
    ));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_status() {
    for (method, path, body, code) in [
        ("GET", "/", &b""[..], Code::NotFound),
        ("GET", "/oat/v2/device", b"", Code::NotFound),
        ("GET", "/oat/v1/inputs/", b"", Code::NotFound),
        ("GET", "/oat/v1/inputs/%zz", b"", Code::NotFound),
        ("GET", "/oat/v1/inputs/%ff", b"", Code::NotFound),
        ("POST", "/oat/v1/device", b"", Code::NotFound),
        ("PUT", "/oat/v1/inputs/a/source", b"{}", Code::Format),
        ("PUT", "/oat/v1/inputs/a/source", b"\xff\xfe", Code::Format),
        ("PATCH", "/oat/v1/device", br#"{"name":"\u0007"}"#, Code::Format),
        ("PATCH", "/oat/v1/device", &[b' '; 4097], Code::Format),
    ] {
        let fault = parse(method, path, body).expect_err(path);
        assert_eq!(fault.error, code, "{method} {path}");
        let reply = Reply::from(fault);
        assert_eq!(reply.status, code.status());
        assert!(reply.body.starts_with(br#"{"error":""#));
    }
}

#[test]
fn a_page_of_another_site_is_refused() {
    let ask = |origin| Request::parse("DELETE", "/oat/v1/inputs/a/source", origin, Some("192.0.2.1"), b"");
    assert!(ask(None).is_ok() && ask(Some("http://192.0.2.1")).is_ok());
    for origin in ["http://evil.example", "https://192.0.2.1", "null", "", "http://192.0.2.1.evil.example"] {
        assert_eq!(ask(Some(origin)).expect_err(origin).error, Code::Policy, "{origin}");
    }
    assert!(Request::parse("GET", "/oat/v1/device", Some("http://"), None, b"").is_err());
}

#[test]
fn answers_are_read() {
    assert_eq!(read_device(200, &vector("device.json")).expect("complete").name, "FOH");
    let streams = read_streams(200, &vector("streams.json")).expect("complete");
    assert_eq!(streams.len(), 2);
    assert_eq!((streams[0].sid, streams[1].rate, streams[1].encoding.as_str()), (1, 48_000, "L24"));
    assert_eq!(read_input(200, &vector("input.json")).expect("complete").packets, 48_000);
}
