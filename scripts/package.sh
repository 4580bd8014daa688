#!/usr/bin/env bash
# Builds the Debian package: package.sh [OUTPUT DIRECTORY]   (default target/debian)
# Exit: 0 built, 1 failed, 77 cargo-deb cannot be installed here.
#
#   PACKAGE_BIN_DIR  take kvd and kvcli from here instead of building them (profile dist)
#   PACKAGE_VERSION  the version of the package instead of that of the crate
#   PACKAGE_FAST     pack quickly instead of tightly
#   ACCEPT_TOOLS_DIR keep cargo-deb here
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
TOOLS=${ACCEPT_TOOLS_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kvd-tools}
CARGO_DEB_VERSION=3.8.0
out=${1:-$ROOT/target/debian}
mkdir -p "$out"
out=$(cd "$out" && pwd)

deb=$TOOLS/cargo-deb-$CARGO_DEB_VERSION
if ! "$deb/bin/cargo-deb" --version >/dev/null 2>&1; then
    # Unoptimised: it runs for a second, and compiles for minutes as it is.
    CARGO_TARGET_DIR=$deb/target cargo install cargo-deb --locked --debug \
        --version "$CARGO_DEB_VERSION" --root "$deb" >&2 || {
        echo "package: cargo-deb $CARGO_DEB_VERSION cannot be installed here" >&2
        exit 77
    }
    rm -rf "$deb/target"
fi

bin=${PACKAGE_BIN_DIR:-}
if [ -z "$bin" ]; then
    (cd "$ROOT" && cargo build --locked --profile dist -p kvd -p kvcli --bin kvd --bin kvcli)
    bin=${CARGO_TARGET_DIR:-$ROOT/target}/dist
fi

# What kvd/Cargo.toml lists, made anew.
stage=$ROOT/target/package
rm -rf "$stage"
mkdir -p "$stage"/{bin,man,bash,zsh,fish}
for program in kvd kvcli; do
    install -m 755 "$bin/$program" "$stage/bin/$program"
    if ! "$bin/$program" man --dir "$stage/man" >/dev/null 2>&1; then
        # Builds from before kvd had pages and completions of its own.
        echo "package: $bin/$program makes no manual pages" >&2
        continue
    fi
    "$bin/$program" completions bash >"$stage/bash/$program"
    "$bin/$program" completions zsh >"$stage/zsh/_$program"
    "$bin/$program" completions fish >"$stage/fish/$program.fish"
done
gzip -9n "$stage"/man/*

PATH=$deb/bin:$PATH
cd "$ROOT"
more=()
[ -z "${PACKAGE_FAST:-}" ] || more+=(--fast)
[ -z "${PACKAGE_VERSION:-}" ] || more+=(--deb-version "$PACKAGE_VERSION")
cargo deb --no-build --no-strip -p kvd -o "$out/" "${more[@]}"
