//! The core under a flood: whoever asks on the bus has an answer while others do not fall silent.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::request::{Ask, Core};
use crate::settings::Settings;

/// So many events wait for the core at most; the next one finds no room.
const WAITING: usize = 1024;
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
    let (graph_sender, graph) = mpsc::channel(WAITING);
    let (answer_sender, answers) = mpsc::channel(256);
    let (question_sender, questions) = mpsc::channel(256);
    let (session_sender, ravenna) = mpsc::channel(256);
    let (executors, told) = Executors::new();
    let (ops, _) = pipewire::channel::channel();
    let driver = Driver {
        clock,
        model: Model::new(clock.now(), settings, store::Saved::default(), || 7),
        journal: crate::journal::Journal::new(),
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
async fn a_core_that_rests_answers_requests_and_takes_no_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut driver, ends, flood, core) = driver(folder.path());
    driver.rest_until = driver.clock.now().mono.plus(Nanos::from_secs(3600));
    tokio::task::LocalSet::new()
        .run_until(async move {
            let sent = Rc::new(Cell::new(0));
            let counted = sent.clone();
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
            for _ in 0..REQUESTS {
                let answer = core.ask(Ask::Remove { id: "nothing".to_owned(), dry_run: true }).await;
                assert!(answer.is_err(), "there is no such stream");
            }
            while sent.get() < WAITING {
                tokio::task::yield_now().await;
            }
            assert_eq!(sent.get(), WAITING, "none was taken");
            drop(stop);
            running.await.expect("no panic");
        })
        .await;
}

#[test]
fn the_core_rests_twice_as_long_as_it_was_busy_but_not_for_ever() {
    let ms = Nanos::from_millis;
    for (busy, rest) in [(0, 10), (3, 10), (30, 60), (100, 200), (5_000, 200)] {
        assert_eq!(after_rest(ms(70), ms(70 + busy)), ms(70 + busy + rest));
    }
}
