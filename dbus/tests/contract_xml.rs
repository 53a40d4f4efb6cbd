//! The XML itself: well formed, named as its file, commented, with the annotations that clients rely on.

use wireloom_dbus::CONTRACT;
use zbus_xml::Node;

#[test]
fn every_file_holds_the_interface_it_is_named_for() {
    for (name, xml) in CONTRACT {
        let node = Node::from_reader(xml.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let names: Vec<_> = node.interfaces().iter().map(|i| i.name().to_string()).collect();
        assert_eq!(names, [(*name).to_owned()]);
    }
}

#[test]
fn every_member_is_commented_with_its_first_version() {
    for (name, xml) in CONTRACT {
        for (position, _) in xml.match_indices("\n    <property ").chain(xml.match_indices("\n    <method "))
        {
            let before = xml[..position].trim_end();
            assert!(before.ends_with("-->"), "{name}: no comment before {}", &xml[position..position + 60]);
            let comment = &before[before.rfind("<!--").expect("a comment that ends has begun")..];
            assert!(comment.contains("Since "), "{name}: no version in {comment}");
        }
    }
}

#[test]
fn options_are_the_last_argument_of_every_method_that_takes_any() {
    for (name, xml) in CONTRACT {
        let node = Node::from_reader(xml.as_bytes()).expect("checked above");
        for method in node.interfaces()[0].methods() {
            let inputs: Vec<_> = method
                .args()
                .iter()
                .filter(|a| a.direction() == Some(zbus_xml::ArgDirection::In))
                .map(|a| a.ty().to_string())
                .collect();
            assert!(
                inputs.is_empty() || inputs.last().map(String::as_str) == Some("a{sv}"),
                "{name}: {inputs:?}"
            );
        }
    }
}
