//! `wireloom why`: what the sound of a stream or of a route depends on, and what of it fails.

use serde_json::json;
use wireloom_dbus::{CheckInfo, Snapshot};

use crate::failure::Failure;
use crate::output::Output;
use crate::{client, route};

#[derive(Debug, clap::Args)]
pub struct Why {
    /// Id, alias or name of a stream; id of a route, or where its audio comes from
    name: String,
    /// Where the audio of the route goes
    sink: Option<String>,
}

impl Why {
    /// Errors: something failed, after it was printed, so that scripts can ask.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        self.say(&client::snapshot(&bus).await?, output)
    }

    fn say(&self, snapshot: &Snapshot, output: &Output) -> Result<(), Failure> {
        let is_route = self.sink.is_some() || snapshot.routes.iter().any(|route| route.id == self.name);
        let (title, checks, kind, object) = if is_route {
            let route = route::find(snapshot, &self.name, self.sink.as_deref())?;
            (route::title(route), &route.checks, "route", json!(route))
        } else {
            let stream =
                client::stream(snapshot, &self.name).map_err(|failure| failure.see("wireloom list"))?;
            (stream.alias.clone(), &stream.checks, "stream", json!(stream))
        };
        let failed = checks.iter().find(|check| check.verdict == "failed");
        if output.json {
            output.print_json(json!({ kind: object, "sound": failed.is_none() }))?;
        } else {
            let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
            for CheckInfo { name, verdict, text } in checks {
                let padding = " ".repeat("warning".len().saturating_sub(verdict.len()));
                output.line(&format!("{name:<width$}  {}{padding}  {text}", output.state(verdict)))?;
            }
        }
        match failed {
            None => Ok(()),
            Some(check) => Err(Failure::Failed(format!("{title}: {}", check.text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use wireloom_dbus::{RouteInfo, StreamInfo};

    use super::*;

    #[derive(clap::Parser)]
    struct Options {
        #[command(flatten)]
        output: Output,
    }

    fn check(verdict: &str) -> CheckInfo {
        CheckInfo { name: "confirmed".into(), verdict: verdict.into(), text: format!("It is {verdict}.") }
    }

    #[test]
    fn a_route_is_asked_about_by_its_id_and_a_stream_by_its_name() {
        let route = RouteInfo {
            id: "r-1".into(),
            source_name: "Stage".into(),
            sink_name: "Rack".into(),
            checks: vec![check("ok"), check("failed")],
            ..RouteInfo::default()
        };
        let stream = StreamInfo {
            id: "s-1".into(),
            alias: "Stage".into(),
            checks: vec![check("ok")],
            ..StreamInfo::default()
        };
        let snapshot = Snapshot { routes: vec![route], streams: vec![stream], ..Snapshot::default() };
        let output = Options::parse_from(["why", "--json"]).output;
        let why = |name: &str| Why { name: name.into(), sink: None }.say(&snapshot, &output);
        let failure = why("r-1").expect_err("a check failed");
        assert_eq!((failure.code(), failure.to_string()), (1, "Stage -> Rack: It is failed.".to_owned()));
        assert!(why("Stage").is_ok());
        assert_eq!(why("r-2").expect_err("neither").code(), 3);
    }
}
