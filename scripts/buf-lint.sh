#!/bin/sh
# Lints proto/ with buf (STANDARD and COMMENTS), fetched from npm into a
# directory that outlives the run. Exit: 0 clean, 1 findings, 77 cannot run here.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
version=1.75.0
tools=${ACCEPT_TOOLS_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kvd-tools}/buf-$version
buf=$tools/node_modules/.bin/buf

if ! "$buf" --version >/dev/null 2>&1; then
    command -v npm >/dev/null 2>&1 || { echo "buf-lint: skipped, npm is not installed" >&2; exit 77; }
    # The platform package carries the program; the postinstall script is not needed.
    npm install --prefix "$tools" --no-save --no-audit --no-fund --ignore-scripts \
        "@bufbuild/buf@$version" >/dev/null 2>&1
    if ! "$buf" --version >/dev/null 2>&1; then
        echo "buf-lint: skipped, npm could not install @bufbuild/buf@$version" >&2
        exit 77
    fi
fi

cd "$root/proto" && "$buf" lint || exit 1
echo "buf-lint: clean"
