use serde_json::json;

use super::*;

fn look_at(document: &Value) -> Finding {
    let folder = tempfile::tempdir().expect("a folder");
    look(&Root::new(folder.path()), &Ruleset::Read(document.clone()), "eth0")
}

/// A ruleset with one base chain for what comes in, of these rules.
fn input(policy: &str, rules: &[Value]) -> Value {
    chains(policy, &[("in", rules)])
}

/// The first chain is the base chain.
fn chains(policy: &str, chains: &[(&str, &[Value])]) -> Value {
    let mut items = vec![json!({ "metainfo": { "json_schema_version": 1 } })];
    for (index, (name, rules)) in chains.iter().enumerate() {
        let mut chain = json!({ "family": "inet", "table": "t", "name": name });
        if index == 0 {
            for (key, value) in [("type", "filter"), ("hook", "input"), ("policy", policy)] {
                chain[key] = value.into();
            }
        }
        items.push(json!({ "chain": chain }));
        let rule =
            |expr: &Value| json!({ "rule": { "family": "inet", "table": "t", "chain": name, "expr": expr } });
        items.extend(rules.iter().map(rule));
    }
    json!({ "nftables": items })
}

fn is(left: Value, right: Value) -> Value {
    json!({ "match": { "op": "==", "left": left, "right": right } })
}

fn port(right: Value) -> Value {
    is(json!({ "payload": { "protocol": "udp", "field": "dport" } }), right)
}

fn meta(key: &str, right: &str) -> Value {
    is(json!({ "meta": { "key": key } }), json!(right))
}

fn state(states: &[&str]) -> Value {
    json!({ "match": { "op": "in", "left": { "ct": { "key": "state" } }, "right": states } })
}

fn verdict(name: &str) -> Value {
    json!({ name: null })
}

fn jump(target: &str) -> Value {
    json!({ "jump": { "target": target } })
}

#[test]
fn rules_are_judged_as_far_as_certain() {
    let counter = json!({ "counter": { "packets": 0, "bytes": 0 } });
    let unknown = is(json!({ "payload": { "protocol": "ip", "field": "saddr" } }), json!("10.0.0.1"));
    let multiport = json!({ "xt": { "type": "match", "name": "multiport" } });
    let (accept, drop) = (verdict("accept"), verdict("drop"));
    let all = json!({ "set": [{ "range": [319, 320] }, 5004, 5353, 9875] });
    let others = [
        json!([is(json!({ "payload": { "protocol": "tcp", "field": "dport" } }), json!(8854)), accept]),
        json!([meta("l4proto", "igmp"), accept]),
    ];
    let let_in = |rule: Value| [std::slice::from_ref(&rule), &others].concat();
    let map = |key: &str| {
        json!({ "vmap": { "key": { "ct": { "key": "state" } },
                          "data": { "set": [["established", { "accept": null }], [key, { "drop": null }]] } } })
    };
    for (document, verdict, named) in [
        (json!({ "nftables": [] }), "ok", "lets through"),
        (input("accept", &[]), "ok", ""),
        (input("drop", &[]), "failed", "audio (UDP 5004), PTP (UDP 319), PTP (UDP 320)"),
        (input("accept", &[json!([port(json!(5004)), counter, drop])]), "failed", "audio (UDP 5004):"),
        (input("accept", &[json!([port(json!(9875)), verdict("reject")])]), "warning", "announcements"),
        (
            input("accept", &[json!([port(json!({ "range": [300, 330] })), drop])]),
            "warning",
            "PTP (UDP 319), PTP",
        ),
        (input("drop", &let_in(json!([port(all.clone()), accept]))), "ok", ""),
        (input("drop", &let_in(json!([port(json!(5004)), accept]))), "warning", "PTP (UDP 319)"),
        // An accepted group, an accepted interface, and those of others.
        (
            input(
                "drop",
                &[
                    json!([is(json!({ "meta": { "key": "pkttype" } }), json!("multicast")), accept]),
                    others[0].clone(),
                ],
            ),
            "ok",
            "",
        ),
        (input("drop", &[json!([meta("iifname", "eth*"), accept])]), "ok", ""),
        (input("drop", &[json!([meta("iifname", "lo"), accept])]), "failed", "audio"),
        (input("drop", &[json!([state(&["established", "related"]), accept])]), "failed", "audio"),
        (input("drop", &[json!([state(&["new"]), accept])]), "ok", ""),
        (input("accept", &[json!([map("invalid")])]), "ok", ""),
        (input("accept", &[json!([map("new")])]), "failed", "audio"),
        // What depends on more.
        (
            input("accept", &[json!([port(json!(5004)), unknown, drop])]),
            "unknown",
            "audio (UDP 5004) through",
        ),
        (input("accept", &[json!([unknown, drop]), json!([accept])]), "unknown", "audio"),
        (input("accept", &[json!([unknown, accept])]), "ok", ""),
        (input("drop", &[json!([unknown, accept])]), "unknown", "audio"),
        (input("accept", &[json!([meta("l4proto", "udp"), multiport, drop])]), "unknown", "audio"),
        (input("accept", &[json!([port(json!("@ports")), drop])]), "unknown", "audio"),
        (input("accept", &[json!([json!({ "limit": { "rate": 5 } }), drop])]), "unknown", "audio"),
        // Chains of one's own.
        (
            chains(
                "accept",
                &[("in", &[json!([jump("more")])]), ("more", &[json!([port(json!(5004)), drop])])],
            ),
            "failed",
            "audio",
        ),
        (
            chains(
                "drop",
                &[
                    ("in", &[json!([jump("more")]), json!([accept])]),
                    ("more", &[json!([verdict("return")]), json!([drop])]),
                ],
            ),
            "ok",
            "",
        ),
        (
            chains(
                "accept",
                &[("in", &[json!([json!({ "goto": { "target": "more" } })]), json!([drop])]), ("more", &[])],
            ),
            "ok",
            "",
        ),
        (chains("accept", &[("in", &[json!([jump("in")])])]), "unknown", "audio"),
    ] {
        let found = look_at(&document);
        assert_eq!(found.verdict, verdict, "{document}: {found:?}");
        assert!(found.text.contains(named), "{document}: {found:?}");
        assert_eq!(found.verdict == "ok", found.advice.is_empty(), "{found:?}");
    }
}

#[test]
fn a_chain_of_another_way_or_interface_is_not_to_blame() {
    let chain = |key: &str, value: &str| {
        let mut document = input("drop", &[]);
        document["nftables"][1]["chain"][key] = value.into();
        document
    };
    assert_eq!(look_at(&chain("hook", "forward")).verdict, "ok");
    assert_eq!(look_at(&chain("family", "ip6")).verdict, "ok");
    assert_eq!(look_at(&chain("type", "nat")).verdict, "ok");
    assert_eq!(look_at(&chain("dev", "eth7")).verdict, "ok");
    assert_eq!(look_at(&chain("hook", "output")).verdict, "failed");
    assert_eq!(look_at(&chain("family", "ip")).verdict, "failed");
}

#[test]
fn the_advice_undoes_what_was_found() {
    let drop_two = json!([port(json!({ "set": [319, 320] })), verdict("drop")]);
    let advice = look_at(&input("accept", &[drop_two])).advice;
    assert!(
        advice.starts_with("nft 'insert rule inet t in udp dport { 319, 320 } accept' (as root)"),
        "{advice}"
    );
}

#[test]
fn what_could_not_be_looked_at_is_never_called_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Root::new(folder.path());
    for ruleset in [Ruleset::Refused("Operation not permitted (you must be root)".into()), Ruleset::NoTool] {
        let found = look(&root, &ruleset, "eth0");
        assert_eq!(found.verdict, "unknown", "{found:?}");
    }
    let strange = [json!(7), json!({ "nftables": [{ "rule": { "expr": 7 } }, { "chain": 8 }, 9, null] })];
    strange.iter().for_each(|document| drop(look_at(document)));
}
