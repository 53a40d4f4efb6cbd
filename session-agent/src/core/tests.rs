//! The core under a flood: whoever asks on the bus has an answer while others do not fall silent.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::request::{Ask, Core};
use crate::settings::Settings;

/// A request and its answer pass through so many tasks at most: the bus's connection, its dispatcher, the object.
const HOPS: usize = 128;
/// So many events of the flood may be taken between a request and its answer: a core that rests takes a batch for several
/// hops, one that does not takes one for every two.
const LATEST: usize = 3 * HOPS / 8 * BATCH;
/// A machine that stalls disturbs some of them.
const REQUESTS: usize = 21;

fn driver(folder: &std::path::Path) -> (Driver, Ends, mpsc::Sender<GraphEvent>, Core) {
    let clock = Clock::start();
    let clock_page = folder.join("clock");
    let settings = Settings {
        network_interfaces: vec!["none".to_owned()],
        clock_page: clock_page.clone(),
        ravenna: false,
        ..Settings::default()
    };
    let state_file = folder.join("state.json");
    let (applied_sender, applied) = watch::channel(0);
    drop(applied_sender); // nothing is on a bus here
    let (core, requests) = Core::channel(applied);
    let (graph_sender, graph) = mpsc::channel(1024);
    let (answer_sender, answers) = mpsc::channel(256);
    let (question_sender, questions) = mpsc::channel(256);
    let (session_sender, ravenna) = mpsc::channel(256);
    let (executors, told) = Executors::new();
    let (ops, _) = pipewire::channel::channel();
    let driver = Driver {
        clock,
        model: Model::new(clock.now(), settings, store::Saved::default(), || 7),
        sockets: SapSockets::none(),
        subscriptions: oat::Sockets::new(answer_sender),
        questions: oat::Questions::new(question_sender),
        watch: ClockWatch::new(&clock_page),
        service: ClockService::start(&clock_page),
        usrvclock: None,
        drop_in: None,
        lock: ActiveLock::new(Some(folder.join("lock"))),
        states: store::StateWriter::start(state_file.clone()).expect("a thread"),
        state_file,
        active: false,
        senders: SapSenders::default(),
        executors,
        controlled: watch::channel(oat::Plan::default()).0,
        ravenna: ravenna::start(clock, session_sender),
        failed: BTreeSet::new(),
        clock_seen: Vec::new(),
        world_at: Nanos::ZERO,
        world_due: None,
        world_from: Nanos::ZERO,
        rest_until: Nanos::ZERO,
    };
    let worlds = watch::channel(Arc::default()).0;
    let ends = Ends {
        requests,
        datagrams: mpsc::channel(1).1,
        answers,
        questions,
        graph,
        told,
        ravenna,
        ops,
        worlds,
    };
    (driver, ends, graph_sender, core)
}

#[tokio::test]
async fn a_request_amid_a_flood_is_answered_after_a_few_batches() {
    let folder = tempfile::tempdir().expect("a folder");
    let (driver, ends, flood, core) = driver(folder.path());
    tokio::task::LocalSet::new()
        .run_until(async move {
            let taken = Rc::new(Cell::new(0));
            let counted = taken.clone();
            tokio::task::spawn_local(async move {
                loop {
                    let event =
                        GraphEvent::Property { key: Some(format!("state.s-{}", counted.get())), value: None };
                    if flood.send(event).await.is_err() {
                        return;
                    }
                    counted.set(counted.get() + 1);
                }
            });
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let running = tokio::task::spawn_local(driver.run(ends, async { drop(stopped.await) }));
            while taken.get() < 20 * BATCH {
                tokio::task::yield_now().await; // the flood is on
            }
            let mut late = Vec::new();
            for _ in 0..REQUESTS {
                let before = taken.get();
                for _ in 0..HOPS {
                    tokio::task::yield_now().await;
                }
                let answer = core.ask(Ask::Remove { id: "nothing".to_owned(), dry_run: true }).await;
                assert!(answer.is_err(), "there is no such stream");
                late.push(taken.get() - before);
            }
            late.sort_unstable();
            assert!(late[REQUESTS / 2] <= LATEST, "so many events were taken before the answers: {late:?}");
            drop(stop);
            running.await.expect("no panic");
        })
        .await;
}
