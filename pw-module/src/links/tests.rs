use super::*;

/// A graph with the ports of two transmitters and two receivers, and a clock that only we move.
struct World {
    links: Links,
    now: Instant,
    gone: Vec<String>,
}

fn pair(output: &str, input: &str) -> Pair {
    let end = |node: &str| LinkEnd { node: node.to_owned(), channel: 0 };
    Pair { output: end(output), input: end(input) }
}

fn route(pair: &Pair, origin: RouteOrigin, state: RouteState) -> Route {
    let error = if state == RouteState::Failed { "no such channel".to_owned() } else { String::new() };
    Route { output: pair.output.clone(), input: pair.input.clone(), origin, state, error }
}

impl World {
    fn new() -> Self {
        Self { links: Links::default(), now: Instant::now(), gone: Vec::new() }
    }

    fn settle(&mut self) -> Vec<Order> {
        let gone = &self.gone;
        let orders = self.links.settle(self.now, |end| !gone.contains(&end.node));
        assert_eq!(
            self.links.settle(self.now, |end| !gone.contains(&end.node)),
            [],
            "a second look finds nothing to do"
        );
        orders
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn draw(&mut self, pair: &Pair) -> bool {
        self.links.draw(self.now, pair).is_some()
    }

    fn destroy(&mut self, pair: &Pair) {
        self.links.destroyed(self.now, pair);
    }

    fn set(&mut self, pair: &Pair, origin: RouteOrigin, state: RouteState) {
        assert!(self.links.set_route(self.now, &pair.id(), Some(route(pair, origin, state))));
    }

    fn delete_route(&mut self, pair: &Pair) {
        assert!(self.links.set_route(self.now, &pair.id(), None));
    }
}

fn look(state: LinkState, route: &'static str, error: &str) -> Look {
    Look { state, route, error: error.to_owned() }
}

#[test]
fn a_drawn_link_mirrors_its_route_until_it_is_destroyed() {
    let (mut world, p) = (World::new(), pair("a", "x"));
    assert!(world.draw(&p));
    assert_eq!(world.settle(), [Order::Write(p.clone(), Some(true))]);
    assert!(!world.draw(&p), "a second one is refused");
    world.set(&p, RouteOrigin::Graph, RouteState::Connecting);
    assert_eq!(world.settle(), [Order::Show(p.clone(), look(LinkState::Negotiating, "connecting", ""))]);
    world.set(&p, RouteOrigin::Graph, RouteState::Receiving);
    assert_eq!(world.settle(), [Order::Show(p.clone(), look(LinkState::Active, "receiving", ""))]);
    world.pass(60_000);
    world.destroy(&p);
    assert_eq!(world.settle(), [Order::Write(p.clone(), Some(false))]);
    world.set(&p, RouteOrigin::Graph, RouteState::Degraded);
    world.set(&p, RouteOrigin::Network, RouteState::Receiving);
    assert_eq!(world.settle(), [], "whatever the route says, it is not drawn again");
    world.delete_route(&p);
    assert_eq!(world.settle(), [Order::Write(p.clone(), None)]);
    world.set(&p, RouteOrigin::Network, RouteState::Receiving);
    assert_eq!(world.settle(), [Order::Draw(p, look(LinkState::Active, "receiving", ""))]);
}

#[test]
fn a_link_of_the_network_has_no_key_until_a_client_destroys_it() {
    let (mut world, p) = (World::new(), pair("a", "x"));
    world.set(&p, RouteOrigin::Network, RouteState::Receiving);
    assert_eq!(world.settle(), [Order::Draw(p.clone(), look(LinkState::Active, "receiving", ""))]);
    world.set(&p, RouteOrigin::Network, RouteState::Failed);
    assert_eq!(
        world.settle(),
        [Order::Show(p.clone(), look(LinkState::Paused, "failed", "no such channel"))],
        "what others made is not ours to take away"
    );
    world.pass(60_000);
    assert_eq!(world.settle(), []);
    world.destroy(&p);
    assert_eq!(world.settle(), [Order::Write(p.clone(), Some(false))]);
    world.delete_route(&p);
    assert_eq!(world.settle(), [Order::Write(p, None)]);
}

#[test]
fn what_the_agent_deletes_goes_without_a_wish() {
    let (mut world, p) = (World::new(), pair("a", "x"));
    assert!(world.draw(&p));
    world.set(&p, RouteOrigin::Graph, RouteState::Receiving);
    world.settle();
    world.delete_route(&p);
    assert_eq!(world.settle(), [Order::Erase(p.clone()), Order::Write(p, None)]);
}

#[test]
fn ports_that_come_and_go_withdraw_nothing() {
    let (mut world, p, q) = (World::new(), pair("a", "x"), pair("a", "y"));
    assert!(world.draw(&p));
    world.set(&q, RouteOrigin::Network, RouteState::Offline);
    world.settle();
    world.gone.push("a".to_owned());
    world.links.vanished(&p);
    world.links.vanished(&q);
    assert_eq!(world.settle(), []);
    world.pass(3_600_000);
    world.gone.clear();
    assert_eq!(
        world.settle(),
        [
            Order::Draw(p, look(LinkState::Negotiating, "", "")),
            Order::Draw(q, look(LinkState::Paused, "offline", ""))
        ]
    );
}

#[test]
fn a_refused_link_says_why_for_a_second() {
    let (mut world, p) = (World::new(), pair("a", "x"));
    assert!(world.draw(&p));
    world.settle();
    world.set(&p, RouteOrigin::Graph, RouteState::Failed);
    assert_eq!(world.settle(), [Order::Show(p.clone(), look(LinkState::Error, "failed", "no such channel"))]);
    assert!(world.links.is_waiting());
    world.pass(999);
    assert_eq!(world.settle(), []);
    world.pass(1);
    assert_eq!(world.settle(), [Order::Erase(p.clone()), Order::Write(p.clone(), Some(false))]);
    assert!(!world.links.is_waiting());
    world.pass(2_000);
    assert!(world.draw(&p), "a person tries once more");
    assert_eq!(world.settle(), [Order::Write(p.clone(), Some(true))]);
    world.delete_route(&p);
    assert_eq!(world.settle(), [], "that was the answer to the link before");
    world.set(&p, RouteOrigin::Graph, RouteState::Receiving);
    assert_eq!(world.settle(), [Order::Show(p.clone(), look(LinkState::Active, "receiving", ""))]);
    world.pass(10);
    world.delete_route(&p);
    assert_eq!(world.settle(), [Order::Erase(p.clone()), Order::Write(p, None)]);
}

#[test]
fn a_program_that_redraws_a_refused_link_has_its_way() {
    let (mut world, p) = (World::new(), pair("a", "x"));
    for round in 0..2 {
        assert!(world.draw(&p), "round {round}");
        world.settle();
        world.set(&p, RouteOrigin::Graph, RouteState::Connecting);
        world.set(&p, RouteOrigin::Graph, RouteState::Failed);
        world.settle();
        world.pass(1_000);
        let orders = world.settle();
        match round {
            0 => assert_eq!(orders, [Order::Erase(p.clone()), Order::Write(p.clone(), Some(false))]),
            _ => assert!(matches!(orders.as_slice(), [Order::Say(_)]), "{orders:?}"),
        }
        world.pass(50);
    }
    world.pass(3_600_000);
    assert_eq!(world.settle(), [], "it stays as it is");
    world.destroy(&p);
    assert_eq!(world.settle(), [Order::Write(p, Some(false))]);
}

/// Of a wish that was withdrawn and made again in one go the agent sees nothing, and answers nothing.
#[test]
fn a_refused_link_that_is_redrawn_without_an_answer_shows_the_old_one() {
    let (mut world, p) = (World::new(), pair("a", "x"));
    assert!(world.draw(&p));
    world.set(&p, RouteOrigin::Graph, RouteState::Failed);
    world.settle();
    world.pass(1_000);
    assert_eq!(world.settle(), [Order::Erase(p.clone()), Order::Write(p.clone(), Some(false))]);
    world.pass(300);
    assert!(world.draw(&p));
    assert_eq!(world.settle(), [Order::Write(p.clone(), Some(true))]);
    world.pass(5_000);
    let orders = world.settle();
    let [Order::Say(_), shown] = orders.as_slice() else { panic!("{orders:?}") };
    assert_eq!(*shown, Order::Show(p, look(LinkState::Error, "failed", "no such channel")));
}

#[test]
fn a_program_that_destroys_what_others_made_has_its_way_too() {
    let (mut world, p) = (World::new(), pair("a", "x"));
    for round in 0..4 {
        world.set(&p, RouteOrigin::Network, RouteState::Receiving);
        let drawn = world.settle();
        if round >= 2 {
            assert_eq!(drawn, [], "round {round}: not shown any more");
            continue;
        }
        assert!(matches!(drawn.as_slice(), [Order::Draw(..)]), "round {round}: {drawn:?}");
        world.pass(50);
        world.destroy(&p);
        if round == 0 {
            assert_eq!(world.settle(), [Order::Write(p.clone(), Some(false))]);
            world.delete_route(&p);
            assert_eq!(world.settle(), [Order::Write(p.clone(), None)]);
        } else {
            let orders = world.settle();
            assert!(
                matches!(orders.as_slice(), [Order::Say(_)]),
                "the route of the others is let be: {orders:?}"
            );
        }
        world.pass(500);
    }
    world.delete_route(&p);
    world.pass(61_000);
    world.set(&p, RouteOrigin::Network, RouteState::Receiving);
    assert!(matches!(world.settle().as_slice(), [Order::Draw(..)]), "forgiven after a while");
}

#[test]
fn cleared_metadata_forgets_all_and_takes_links_away() {
    let (mut world, p) = (World::new(), pair("a", "x"));
    assert!(world.draw(&p));
    world.settle();
    world.links.clear();
    assert_eq!(world.settle(), [Order::Erase(p)]);
}

/// Of a key that was set and removed in one go the module sees the end only.
#[test]
fn a_route_that_came_and_went_unseen_answers_a_removed_link() {
    let (mut world, p) = (World::new(), pair("a", "x"));
    assert!(world.draw(&p));
    world.settle();
    world.destroy(&p);
    assert_eq!(world.settle(), [Order::Write(p.clone(), Some(false))]);
    world.delete_route(&p);
    assert_eq!(world.settle(), [Order::Write(p, None)]);
}

#[test]
fn a_route_under_a_wrong_id_is_not_taken() {
    let mut world = World::new();
    let (p, q) = (pair("a", "x"), pair("a", "y"));
    let strange = route(&p, RouteOrigin::Network, RouteState::Receiving);
    assert!(!world.links.set_route(world.now, &q.id(), Some(strange)));
    assert_eq!(world.settle(), []);
}

/// Whatever happens in whatever order, one look is enough, nothing is shown whose deletion was not answered, nothing
/// is shown on ports that are not there, and keys are what was last written.
#[test]
fn any_order_of_events_reaches_a_fixed_point() {
    for seed in 1..300_u64 {
        let mut random = seed;
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut world = World::new();
        let pairs = [pair("a", "x"), pair("a", "y"), pair("b", "x"), pair("b", "y")];
        let mut shown: Vec<Pair> = Vec::new();
        let mut keys: BTreeMap<Pair, bool> = BTreeMap::new();
        let mut routes: Vec<Pair> = Vec::new();
        for step in 0..200 {
            let p = pairs[next(4) as usize].clone();
            match next(7) {
                0 => {
                    if !world.gone.contains(&p.output.node) && !world.gone.contains(&p.input.node) {
                        assert_eq!(world.draw(&p), !shown.contains(&p), "seed {seed} step {step}");
                        if !shown.contains(&p) {
                            shown.push(p);
                        }
                    }
                }
                1 => {
                    if shown.contains(&p) {
                        shown.retain(|s| *s != p);
                        world.destroy(&p);
                    }
                }
                2 | 3 => {
                    let states = [
                        RouteState::Pending,
                        RouteState::Receiving,
                        RouteState::Degraded,
                        RouteState::Offline,
                        RouteState::Failed,
                    ];
                    let origin = if next(2) == 0 { RouteOrigin::Graph } else { RouteOrigin::Network };
                    world.set(&p, origin, states[next(5) as usize]);
                    if !routes.contains(&p) {
                        routes.push(p);
                    }
                }
                4 => {
                    world.delete_route(&p);
                    routes.retain(|r| *r != p);
                }
                5 => {
                    let node = p.output.node.clone();
                    if world.gone.contains(&node) {
                        world.gone.clear();
                    } else {
                        for lost in shown.iter().filter(|s| s.output.node == node) {
                            world.links.vanished(lost);
                        }
                        shown.retain(|s| s.output.node != node);
                        world.gone.push(node);
                    }
                }
                _ => world.pass(next(1_500)),
            }
            for order in world.settle() {
                match order {
                    Order::Draw(p, _) => {
                        assert!(!shown.contains(&p), "seed {seed} step {step}: drawn twice");
                        assert!(!world.gone.contains(&p.output.node), "seed {seed} step {step}");
                        assert_ne!(keys.get(&p), Some(&false), "seed {seed} step {step}: drawn again");
                        shown.push(p);
                    }
                    Order::Show(p, _) => assert!(shown.contains(&p), "seed {seed} step {step}"),
                    Order::Erase(p) => {
                        assert!(shown.contains(&p), "seed {seed} step {step}");
                        shown.retain(|s| *s != p);
                    }
                    Order::Write(p, Some(want)) => drop(keys.insert(p, want)),
                    Order::Write(p, None) => {
                        assert!(!routes.contains(&p), "seed {seed} step {step}: a key went before its route");
                        keys.remove(&p);
                    }
                    Order::Say(_) => {}
                }
            }
            for p in &shown {
                assert_ne!(keys.get(p), Some(&false), "seed {seed} step {step}: shown though unwanted");
            }
        }
    }
}
