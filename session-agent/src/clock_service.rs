//! Speaks with `wireloom-clock` over its control socket: how is its leader, and what should it do. One question is one
//! connection, so that neither side minds when the other one is restarted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;

/// The service is asked so often: its grandmaster's quality changes seldom.
const LOOK: Duration = Duration::from_secs(2);
/// It answers at once or is stuck.
const PATIENCE: Duration = Duration::from_secs(3);
/// A status with sixteen interfaces is a tenth of this.
const MAX_ANSWER: u64 = 256 * 1024;

/// What the service says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceFacts {
    /// One sentence: its own summary, or why it says nothing.
    pub text: String,
    /// The PTP domain whose grandmaster it calls traceable to TAI.
    pub traceable: Option<u8>,
}

/// Why a setting was not taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Denied {
    /// The service cannot be reached.
    Absent(String),
    /// It refused this user.
    Forbidden(String),
    /// It refused the value.
    Invalid(String),
}

/// The way to the service, and what was heard of it last.
#[derive(Debug, Clone)]
pub struct ClockService {
    path: Arc<Path>,
    facts: Arc<watch::Sender<ServiceFacts>>,
}

impl ClockService {
    /// Of the service that publishes `page`: its socket lies beside it. Call inside a runtime.
    pub fn start(page: &Path) -> Self {
        let path: PathBuf = page.with_file_name("clock.sock");
        let this = Self { path: path.into(), facts: Arc::default() };
        let asking = this.clone();
        tokio::spawn(async move {
            loop {
                asking.look().await;
                tokio::time::sleep(LOOK).await;
            }
        });
        this
    }

    /// What is known of it.
    pub fn facts(&self) -> ServiceFacts {
        self.facts.borrow().clone()
    }

    /// Changes settings: a part of what its socket's `set` takes; `None` goes back to its settings file.
    pub async fn change(&self, settings: Option<serde_json::Map<String, Value>>) -> Result<(), Denied> {
        let request = match settings {
            None => json!({ "command": "reset" }),
            Some(mut settings) => {
                settings.insert("command".to_owned(), "set".into());
                Value::Object(settings)
            }
        };
        let answer = self.ask(&request).await.map_err(Denied::Absent)?;
        let status = accepted(&answer).map_err(|why| {
            // The service words it; nothing else in its contract tells the two apart.
            if why.contains("may change settings") { Denied::Forbidden(why) } else { Denied::Invalid(why) }
        })?;
        self.facts.send_replace(read(status));
        Ok(())
    }

    async fn look(&self) {
        let answer = self.ask(&json!({ "command": "status" })).await;
        let facts = match answer.as_ref().map_err(Clone::clone).and_then(|answer| accepted(answer)) {
            Ok(status) => read(status),
            Err(text) => ServiceFacts { text, traceable: None },
        };
        self.facts.send_if_modified(|before| {
            let changed = *before != facts;
            *before = facts;
            changed
        });
    }

    async fn ask(&self, request: &Value) -> Result<Value, String> {
        let at = self.path.display();
        match tokio::time::timeout(PATIENCE, exchange(&self.path, request)).await {
            Err(_) => Err(format!("the clock service at {at} does not answer")),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    format!("the clock service does not run: nobody serves {at}")
                }
                _ => format!("the clock service at {at} cannot be asked: {error}"),
            }),
        }
    }
}

async fn exchange(path: &Path, request: &Value) -> io::Result<Value> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(format!("{request}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

/// The status in an answer, or why there is none.
fn accepted(answer: &Value) -> Result<&Value, String> {
    if answer["schema"] != 1 {
        return Err("the clock service speaks another version of its protocol".to_owned());
    }
    if answer["ok"] == true {
        return Ok(&answer["status"]);
    }
    Err(wireloom_sdp::for_display(answer["error"].as_str().unwrap_or("the clock service refused")))
}

fn read(status: &Value) -> ServiceFacts {
    let domain = status["settings"]["domain"].as_u64().and_then(|domain| u8::try_from(domain).ok());
    let leader = &status["clock"]["leader"];
    let is_traceable = leader["ptp_timescale"] == true && leader["time_traceable"] == true;
    ServiceFacts {
        text: wireloom_sdp::for_display(status["summary"].as_str().unwrap_or_default()),
        traceable: domain.filter(|_| is_traceable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ptp_time_that_is_called_traceable_is() {
        let status = |ptp: bool, traceable: bool| {
            json!({ "summary": "Locked.", "settings": { "domain": 7 },
                    "clock": { "leader": { "ptp_timescale": ptp, "time_traceable": traceable } } })
        };
        assert_eq!(read(&status(true, true)).traceable, Some(7));
        assert_eq!(read(&status(true, false)).traceable, None);
        assert_eq!(read(&status(false, true)).traceable, None);
        assert_eq!(read(&json!({})), ServiceFacts::default());
        assert_eq!(accepted(&json!({ "schema": 2, "ok": true })).ok(), None);
        assert_eq!(accepted(&json!({ "schema": 1, "ok": false, "error": "no" })), Err("no".to_owned()));
    }
}
