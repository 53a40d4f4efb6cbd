#!/bin/sh
# Puts the sources of all crates into a source archive, so that it builds without network. Called by `meson dist`.
set -eu
cd "$MESON_DIST_ROOT"
"${CARGO:-cargo}" vendor --quiet --locked --versioned-dirs vendor >/dev/null
# Not what cargo prints: that would name the mirror which this computer happens to use.
cat >>.cargo/config.toml <<'END'

[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "vendor"
END
