#!/usr/bin/env bash
# The Debian package: install, upgrade, remove and purge, for real. Needs root and dpkg; the
# machine is afterwards as it was.
#   22-package.sh           builds kvd and kvcli for it
#   22-package.sh --quick   takes them from ACCEPT_BIN_DIR
#
#   PACKAGE_OLD_BIN_DIR  the older build that the upgrade begins with; without it the same
#                        programs, under an older version
. "$(dirname "$0")/lib.sh"
begin 22-package "The Debian package installs, upgrades, is removed and purged" "$@"

[ "$(id -u)" = 0 ] || skip "installing a package needs root"
command -v dpkg-deb >/dev/null || skip "this is no Debian: there is no dpkg"
for there in /etc/kvd /var/lib/kvd /usr/bin/kvd; do
    [ ! -e "$there" ] || skip "$there is here already: it is somebody's"
done
! getent passwd kvd >/dev/null || skip "there is a user kvd already: it is somebody's"

# Whatever happens, nothing stays. The code of the script is what cleanup looks at.
trap 'code=$?; dpkg --purge kvd >/dev/null 2>&1 || true; cleanup "$code"' EXIT

build() { # build VERSION BIN_DIR
    local code=0
    PACKAGE_VERSION=$1 PACKAGE_BIN_DIR=$2 "$ROOT/scripts/package.sh" "$WORK/$1" \
        >"$WORK/build-$1.out" 2>"$WORK/build-$1.err" || code=$?
    [ "$code" -ne 77 ] || skip "$(tail -n 1 "$WORK/build-$1.err")"
    [ "$code" -eq 0 ] || fail "the package $1 is not built"
    DEB=$(echo "$WORK/$1"/*.deb)
}

new=${ACCEPT_BIN_DIR:-}
if [ "${1:-}" = --quick ]; then export PACKAGE_FAST=1; else new=; fi
old=${PACKAGE_OLD_BIN_DIR:-$new}
build 0.1.0-9 "$new"
new_deb=$DEB
[ -n "$old" ] || old=$ROOT/target/package/bin
cp -r "$old" "$WORK/old-bin" 2>/dev/null || fail "there are no older programs in $old"
build 0.1.0-1 "$WORK/old-bin"
old_deb=$DEB
fact "package" "$(basename "$new_deb"), $(($(stat -c %s "$new_deb") / 1024)) KiB"
[ -z "${PACKAGE_OLD_BIN_DIR:-}" ] || fact "older build" "$("$WORK/old-bin/kvd" --version), other programs"

install_deb() { dpkg -i "$1" >"$WORK/dpkg.out" 2>"$WORK/dpkg.err" || fail "dpkg -i $(basename "$1") failed"; }

install_deb "$old_deb"
for file in /usr/bin/kvd /usr/bin/kvcli /usr/lib/systemd/system/kvd.service /usr/lib/systemd/system/kvd.socket \
    /usr/lib/sysusers.d/kvd.conf /usr/lib/tmpfiles.d/kvd.conf /etc/kvd/kvd.toml /usr/share/doc/kvd/copyright \
    /usr/share/man/man1/kvcli.1.gz /usr/share/bash-completion/completions/kvcli; do
    [ -s "$file" ] || fail "$file is not there"
done
[ "$(stat -c '%U:%G %a' /var/lib/kvd)" = "kvd:kvd 700" ] || fail "/var/lib/kvd: $(stat -c '%U:%G %a' /var/lib/kvd)"
[ "$(dpkg-query -W -f '${Conffiles}' kvd | awk '{print $1}' | xargs)" = /etc/kvd/kvd.toml ] || fail "the sample is no conffile"
fact "installed" "programs, unit, sysusers, tmpfiles, settings as conffile, pages, completions; /var/lib/kvd is kvd's alone"
/usr/bin/kvd config check /etc/kvd/kvd.toml >"$WORK/check.out" || fail "kvd config check refuses the packaged file"
fact "kvd config check on the packaged file" "in order"
if command -v systemd-analyze >/dev/null; then
    systemd-analyze verify /usr/lib/systemd/system/kvd.service 2>"$WORK/verify.txt" || fail "systemd-analyze verify: $(cat "$WORK/verify.txt")"
    fact "systemd-analyze verify" "nothing to say"
fi

# As the unit starts it, by the packaged settings, on ports of its own.
serve() {
    setpriv --reuid kvd --regid kvd --clear-groups /usr/bin/kvd serve --config /etc/kvd/kvd.toml \
        --listen 127.0.0.1:0 --http-listen off "$@" >"$WORK/kvd.out" 2>"$WORK/kvd.err" &
    SERVED=$!
    OWN_PIDS+=("$SERVED")
    for _ in $(seq 200); do
        grep -q '^kvd ready' "$WORK/kvd.out" && break
        kill -0 "$SERVED" 2>/dev/null || fail "the packaged kvd does not start"
        sleep 0.05
    done
    KVCLI_ENDPOINT=$(sed -n 's/^kvd ready .*listen=\([^ ,]*\).*/\1/p' "$WORK/kvd.out")
    export KVCLI_ENDPOINT
}
end() {
    kill -TERM "$SERVED"
    wait "$SERVED" || fail "the packaged kvd does not stop in order"
}

# The disk may be one that does not survive a power cut; the package does not mind here.
serve --allow-volatile
for i in $(seq 50); do echo "set key/$i value-$i"; done | /usr/bin/kvcli >/dev/null
before=$(/usr/bin/kvcli hash)
end
echo "# somebody's own line" >>/etc/kvd/kvd.toml

install_deb "$new_deb"
[ "$(dpkg-query -W -f '${Version}' kvd)" = 0.1.0-9 ] || fail "the upgrade is not installed"
grep -q "somebody's own line" /etc/kvd/kvd.toml || fail "the upgrade has lost a change of the settings"
for file in /usr/share/man/man1/kvd.1.gz /usr/share/bash-completion/completions/kvd; do
    [ -s "$file" ] || fail "$file is not there"
done
serve --allow-volatile
[ "$(/usr/bin/kvcli hash)" = "$before" ] || fail "the data is not what it was before the upgrade"
end
fact "upgrade from 0.1.0-1" "50 keys, their digest and a changed setting are kept"

dpkg -r kvd >"$WORK/dpkg.out" 2>"$WORK/dpkg.err" || fail "dpkg -r failed"
[ ! -e /usr/bin/kvd ] || fail "removal leaves the program"
[ -s /etc/kvd/kvd.toml ] || fail "removal takes the settings"
[ -n "$(ls -A /var/lib/kvd)" ] || fail "removal takes the data"
fact "remove" "programs gone; data, settings and user kept"
install_deb "$new_deb"
serve --allow-volatile
[ "$(/usr/bin/kvcli hash)" = "$before" ] || fail "the data is not what it was before the removal"
end
fact "installed again" "the data is there"

dpkg -P kvd >"$WORK/dpkg.out" 2>"$WORK/dpkg.err" || fail "dpkg -P failed"
for gone in /var/lib/kvd /etc/kvd /usr/bin/kvd /usr/share/man/man1/kvd.1.gz /usr/share/doc/kvd; do
    [ ! -e "$gone" ] || fail "purging leaves $gone"
done
! getent passwd kvd >/dev/null || fail "purging leaves the user"
! getent group kvd >/dev/null || fail "purging leaves the group"
fact "purge" "data, settings, user and group gone"
pass
