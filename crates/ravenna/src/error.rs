use core::fmt;

/// Why octets are not an RTSP message; nothing after it in the same connection can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtspError {
    /// The first line is neither a request nor a response (RFC 2326 §6.1, §7.1).
    StartLine,
    /// Request line and header fields together are longer than 8 KiB.
    HeadTooLong,
    /// More than 64 header fields.
    TooManyHeaders,
    /// `Content-Length` is not a number (RFC 2326 §12.14).
    ContentLength,
    /// A body of more than 1 MiB: as long as `Content-Length` says, or without one.
    BodyTooLong,
}

impl core::error::Error for RtspError {}

impl fmt::Display for RtspError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartLine => "this is neither an RTSP request nor a response",
            Self::HeadTooLong => "RTSP header is longer than 8 KiB",
            Self::TooManyHeaders => "RTSP message has more than 64 header fields",
            Self::ContentLength => "Content-Length is not a number",
            Self::BodyTooLong => "RTSP body is longer than 1 MiB",
        })
    }
}
