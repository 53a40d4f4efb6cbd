#!/bin/sh
# Runs cargo once for everything that is installed, then copies each product to where the build wants it.
# Called by meson with: profile, offline (true or false), target directory, output directory, "PACKAGE..." and the
# outputs by their installed names.
set -eu
profile=$1 offline=$2 target=$3 out=$4 packages=$5
shift 5
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.."

set_of_packages=
for package in $packages; do
    set_of_packages="$set_of_packages --package $package"
done
flags=--locked
if [ "$offline" = true ]; then
    flags="$flags --offline"
fi
# Cargo decides what is stale; in the build directory it meets nobody else's lock.
# shellcheck disable=SC2086
CARGO_TARGET_DIR=$target "${CARGO:-cargo}" build --profile "$profile" $flags $set_of_packages

case $profile in
dev) folder=debug ;;
*) folder=$profile ;;
esac
for output in "$@"; do
    # Cargo writes underscores where PipeWire's modules have hyphens.
    case $output in
    lib*.so) built=$(printf %s "$output" | tr - _) ;;
    *) built=$output ;;
    esac
    # By way of a new file: a program that runs must not see its own change.
    cp "$target/$folder/$built" "$out/$output.new"
    mv -f "$out/$output.new" "$out/$output"
done
