use std::path::Path;

/// Compares `found` with the file `expect/<name>` beside the simulation's sources.
///
/// With `UPDATE_EXPECT` set the file is rewritten first. Panics with both texts when they differ: a changed figure is
/// reviewed.
pub fn snapshot(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("expect").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, found).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let expected =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        found == expected,
        "{name} changed; review, then UPDATE_EXPECT=1\nfound\n{found}\nexpected\n{expected}"
    );
}
