#!/bin/sh
# usher_test.sh: what ./usher does with packages, builds, reports and signals, played with tools of our own making.
#
#   usher_test.sh NAME     runs the test of that name, as CTest does
#
# Each test gets a folder with a copy of the script and, first in PATH, a bin/ of small programs that stand in for apt,
# sudo, cmake, ninja, ctest, usherd and usherctl and write down how they were called.
set -u

here=$(CDPATH='' cd -P -- "$(dirname -- "$0")" && pwd) || exit 1
name=${1:?usage: usher_test.sh NAME}
stage=$(mktemp -d) || exit 1
server=''
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$stage"' EXIT

fail()
{
    echo "$name: $*"
    for file in said called; do
        [ ! -s "$stage/$file" ] || { echo "--- $file"; cat "$stage/$file"; }
    done
    exit 1
}

# A program in the stage's bin/ whose body is the standard input.
program() # name
{
    mkdir -p "$(dirname "$stage/bin/$1")"
    { printf '#!/bin/sh\nstage=%s\n' "$stage"; cat; } >"$stage/bin/$1"
    chmod +x "$stage/bin/$1"
}

# Everything is installed, cmake and ninja build, nothing has been built yet; the user is root.
set_the_stage()
{
    mkdir -p "$stage/bin" "$stage/tests" "$stage/docs"
    cp "$here/../usher" "$here/../CMakePresets.json" "$stage/" || exit 1
    : >"$stage/called"
    for tool in apt-get sudo; do
        program $tool <<rows
echo "$tool \$*" >>"\$stage/called"
rows
    done
    program id <<'rows'
echo 0
rows
    program python3 </dev/null
    program cc </dev/null
    program g++ </dev/null
    program mandoc </dev/null
    program dpkg-shlibdeps </dev/null
    program pkg-config <<'rows'
[ ! -e "$stage/absent" ] || ! grep -qx "$2" "$stage/absent"
rows
    program cmake <<'rows'
echo "cmake $*" >>"$stage/called"
mkdir -p "$stage/build/$2"
echo "CMAKE_HOME_DIRECTORY:INTERNAL=$stage" >"$stage/build/$2/CMakeCache.txt"
case $* in *USHER_TESTS=ON*) echo USHER_TESTS:BOOL=ON >>"$stage/build/$2/CMakeCache.txt" ;; esac
: >"$stage/build/$2/build.ninja"
rows
    program ninja <<'rows'
case " $* " in
*" -n "*) [ ! -e "$stage/built" ] || echo "ninja: no work to do." ;;
*) echo "ninja $*" >>"$stage/called"; : >"$stage/built" ;;
esac
rows
    echo 'exit 0' >"$stage/tests/requirements_check.sh"
}

# Run the script as a user does; what it says goes to said, its status to $status.
usher()
{
    (cd "$stage" && PATH="$stage/bin:$PATH" ./usher "$@") >"$stage/said" 2>&1 </dev/null
    status=$?
}

ends_with() { [ "$status" -eq "$1" ] || fail "ended with $status, not $1"; }
says() { grep -qF -- "$1" "$stage/said" || fail "did not say: $1"; }
keeps_quiet() { [ ! -s "$stage/said" ] || fail "had something to say"; }
last_line_is() { [ "$(tail -n 1 "$stage/said")" = "$1" ] || fail "the last line is not: $1"; }
called() { grep -q -- "$1" "$stage/called" || fail "did not call: $1"; }
not_called() { ! grep -q -- "$1" "$stage/called" || fail "called: $1"; }

# ---- words ----------------------------------------------------------------------------------------------------------

every_command_stands_in_the_help() # test
{
    usher help
    ends_with 0
    sed -n '/^case .command in/,/^esac/s/^\([a-z]*\)[ )].*/\1/p' "$stage/usher" | grep -vx 'case' >"$stage/commands"
    [ "$(wc -l <"$stage/commands")" -ge 6 ] || fail "could not read the commands from the script"
    while read -r command; do
        says "./usher $command"
    done <"$stage/commands"
}

an_unknown_command_points_to_the_help() # test
{
    usher serve
    ends_with 2
    says "there is no command 'serve'"
    says "./usher help"
}

an_unknown_preset_is_refused() # test
{
    usher test --preset fast
    ends_with 2
    says "no preset 'fast'"
    not_called cmake
}

the_script_parses_where_sh_is_plain() # test
{
    for shell in dash sh; do
        if command -v $shell >/dev/null 2>&1; then
            $shell -n "$stage/usher" || fail "$shell can't read it"
        fi
    done
}

# ---- packages -------------------------------------------------------------------------------------------------------

with_every_package_there_apt_is_not_called() # test
{
    usher build
    ends_with 0
    not_called apt-get
    not_called sudo
}

# The last package that apt-get was told to install is there afterwards.
apt_that_installs()
{
    program apt-get <<'rows'
echo "apt-get $*, frontend ${DEBIAN_FRONTEND-}" >>"$stage/called"
[ "$3" != install ] || rm -f "$stage/absent"
rows
}

root_installs_exactly_the_missing_packages() # test
{
    printf 'lmdb\njansson\n' >"$stage/absent"
    apt_that_installs
    usher build
    ends_with 0
    called '^apt-get -q -y update, frontend noninteractive$'
    called '^apt-get -q -y install --no-install-recommends liblmdb-dev libjansson-dev, frontend noninteractive$'
    not_called sudo
}

serving_needs_no_package_of_the_tests() # test
{
    echo cmocka >"$stage/absent"
    usher build
    ends_with 0
    not_called apt-get
    apt_that_installs
    usher build --preset debug
    ends_with 0
    called 'install --no-install-recommends libcmocka-dev,'
}

others_install_by_sudo_when_it_asks_nothing() # test
{
    echo lmdb >"$stage/absent"
    echo 'echo 1000' | program id
    program sudo <<'rows'
echo "sudo $*" >>"$stage/called"
case $* in *install*) rm -f "$stage/absent" ;; esac
rows
    usher build
    ends_with 0
    called '^sudo -n env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends liblmdb-dev$'
}

without_root_the_line_to_type_is_printed() # test
{
    printf 'lmdb\nlibsodium\n' >"$stage/absent"
    echo 'echo 1000' | program id
    echo 'exit 1' | program sudo
    usher run
    ends_with 1
    says "sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends liblmdb-dev libsodium-dev'"
    not_called cmake
}

a_failed_installation_shows_what_apt_said() # test
{
    echo lmdb >"$stage/absent"
    program apt-get <<'rows'
[ "$3" = update ] || { echo "E: no room on the device" >&2; exit 100; }
rows
    usher build
    ends_with 1
    says "E: no room on the device"
    says "could not install"
    not_called cmake
}

a_package_that_brings_nothing_is_named() # test
{
    echo lmdb >"$stage/absent"
    usher build
    ends_with 1
    says "still missing after their installation: liblmdb-dev"
}

# ---- building -------------------------------------------------------------------------------------------------------

a_build_that_is_up_to_date_says_nothing() # test
{
    usher build
    ends_with 0
    says "building release ... done"
    : >"$stage/called"
    usher build
    ends_with 0
    keeps_quiet
    not_called cmake
    not_called ninja
}

a_failed_build_shows_its_log() # test
{
    program ninja <<'rows'
case " $* " in *" -n "*) exit 0 ;; esac
echo "seat.c:7: error: expected a seat"
exit 1
rows
    usher build
    ends_with 1
    says "seat.c:7: error: expected a seat"
    says "the build failed"
    says "build/release.log"
}

a_build_that_was_moved_is_made_anew() # test
{
    usher build
    echo "CMAKE_HOME_DIRECTORY:INTERNAL=/somewhere/else" >"$stage/build/release/CMakeCache.txt"
    : >"$stage/build/release/left_over"
    usher build
    ends_with 0
    [ ! -e "$stage/build/release/left_over" ] || fail "kept the other place's build"
}

tests_are_configured_into_a_release_that_has_none() # test
{
    report '' ''
    usher build
    usher test --preset release
    called 'cmake --preset release -DUSHER_TESTS=ON'
}

clean_leaves_the_data() # test
{
    usher build
    mkdir "$stage/data"
    usher clean
    ends_with 0
    [ ! -e "$stage/build" ] || fail "build/ is still there"
    [ -e "$stage/data" ] || fail "the data is gone"
}

# ---- testing --------------------------------------------------------------------------------------------------------

# A ctest that reports these tests, each "name status [message of <skipped>]" and a line, and ends with $2.
report() # tests, exit status
{
    printf '%s\n' "$1" >"$stage/results"
    program ctest <<rows
ends=${2:-0}
rows
    cat >>"$stage/bin/ctest" <<'rows'
echo "ctest $*" >>"$stage/called"
while [ $# -gt 0 ]; do
    [ "$1" != --output-junit ] || file=$2
    shift
done
{
    printf '<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name="(empty)"\n\t>\n'
    while read -r test status message; do
        [ -n "$test" ] || continue
        printf '\t<testcase name="%s" classname="%s" time="0.1" status="%s">\n' "$test" "$test" "$status"
        [ -z "$message" ] || printf '\t\t<skipped message="%s"/>\n' "$message"
        printf '\t\t<system-out>status="fail" &lt;skipped message="SKIP_&lt;/testcase>\n</system-out>\n\t</testcase>\n'
    done <"$stage/results"
    echo '</testsuite>'
} >"$file"
exit "$ends"
rows
}

a_passing_run_closes_with_its_counts() # test
{
    report "a.one run
a.two run"
    usher test
    ends_with 0
    last_line_is "3 passed, 0 failed"
}

failures_are_counted_and_change_the_status() # test
{
    report "a.one run
a.two fail
a.three notrun Unable to find executable" 8
    usher test
    ends_with 1
    last_line_is "2 passed, 2 failed"
}

skipped_tests_are_counted_apart() # test
{
    report "a.one run
a.two notrun SKIP_RETURN_CODE=77
a.three disabled"
    usher test
    ends_with 0
    last_line_is "2 passed, 0 failed, 2 skipped"
}

a_number_without_a_test_fails_the_run() # test
{
    report "a.one run"
    echo 'echo "requirements: Q1 has no test"; exit 1' >"$stage/tests/requirements_check.sh"
    usher test
    ends_with 1
    says "Q1 has no test"
    last_line_is "1 passed, 1 failed"
}

ctest_failing_by_itself_fails_the_run() # test
{
    report "a.one run" 3
    usher test
    ends_with 1
}

named_tests_run_alone() # test
{
    report "a.seat run"
    echo 'exit 1' >"$stage/tests/requirements_check.sh"
    usher test seat queue
    ends_with 0
    called 'ctest .* -R seat|queue$'
    last_line_is "1 passed, 0 failed"
}

a_name_that_no_test_has_is_an_error() # test
{
    report ""
    usher test nothing
    ends_with 1
    says "no test has a name like 'nothing'"
}

# ---- serving --------------------------------------------------------------------------------------------------------

# An usherd that writes its port file and serves until a signal; an usherctl whose house has this list of concerts; a
# usher-http that does as usherd does, where nobody has taken its port.
play_the_server()
{
    : >"$stage/built"
    mkdir -p "$stage/data" "$stage/build/release/server" "$stage/build/release/apps/usherctl" \
        "$stage/build/release/apps/http-bridge"
    program usher-http <<'rows'
echo "usher-http $*" >>"$stage/called"
[ ! -e "$stage/port_is_taken" ] || case " $* " in *" 127.0.0.1:7480 "*) exit 69 ;; esac
while [ $# -gt 0 ]; do
    [ "$1" != --port-file ] || file=$2
    shift
done
trap 'echo "usher-http ends" >>"$stage/called"; exit 0' INT TERM
printf '7777\n7778\n' >"$file"
echo $$ >"$stage/bridge"
while [ -e "$stage" ]; do sleep 0.05; done
rows
    mv "$stage/bin/usher-http" "$stage/build/release/apps/http-bridge/usher-http"
    PATH="$stage/bin:$PATH" cmake --preset release
    program usherd <<'rows'
echo "usherd $*" >>"$stage/called"
while [ $# -gt 0 ]; do
    [ "$1" != --port-file ] || file=$2
    shift
done
trap 'echo "usherd ends" >>"$stage/called"; exit 7' INT TERM
echo 4711 >"$file"
while [ -e "$stage" ]; do sleep 0.05; done
rows
    mv "$stage/bin/usherd" "$stage/build/release/server/usherd"
    echo "$1" >"$stage/concerts"
    program usherctl <<'rows'
echo "usherctl $*" >>"$stage/called"
case " $* " in
*" catalogue load "*) printf 'made a lot\nit is loaded\n' ;;
*" client invite gateway http-bridge "*) echo "code 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" ;;
*" client enrol 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef "*) for file; do :; done; echo key >"$file" ;;
*" --json "*" concerts ") printf '{\n  "result": "OK",\n  "reply": {\n    "concert": %s\n  }\n}\n' "$(cat "$stage/concerts")" ;;
esac
rows
    mv "$stage/bin/usherctl" "$stage/build/release/apps/usherctl/usherctl"
}

# Start ./usher run with these options and wait for its greeting.
serve()
{
    : >"$stage/said"
    # A shell's background processes ignore SIGINT, which a terminal's do not: env undoes that.
    (cd "$stage" && PATH="$stage/bin:$PATH" exec env --default-signal=INT ./usher run "$@") >"$stage/said" 2>&1 \
        </dev/null &
    server=$!
    for turn in 1 2 3 4 5 6 7 8 9 10; do
        for part in 1 2 3 4 5 6 7 8 9 10; do
            ! grep -q 'ctl.* history' "$stage/said" || return 0
            sleep 0.05
        done
    done
    fail "did not serve after $turn$part waits"
}

end_by() # signal
{
    kill "-$1" "$server"
    wait "$server"
    status=$?
    server=''
}

an_empty_house_gets_the_sample_season() # test
{
    play_the_server '[]'
    serve
    called "^usherctl --server 127.0.0.1:4711 --key $stage/data/admin.key catalogue load $stage/samples/season.json$"
    says "it is loaded"
    ! grep -q "made a lot" "$stage/said" || fail "told what was made, line by line"
    says "Usher serves on 127.0.0.1:4711"
    says "./usher ctl concerts"
    end_by TERM
}

a_season_that_cannot_be_loaded_says_why_and_the_server_goes_on() # test
{
    play_the_server '[]'
    program usherctl <<'rows'
case " $* " in
*" catalogue load "*) echo "season.json:7: no plan 9" >&2; exit 2 ;;
*" concerts ") echo '{"reply": {"concert": []}}' ;;
esac
rows
    mv "$stage/bin/usherctl" "$stage/build/release/apps/usherctl/usherctl"
    PATH="$stage/bin:$PATH" "$stage/usher" run >"$stage/said" 2>&1 </dev/null &
    server=$!
    for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        ! grep -q "season.json:7" "$stage/said" || break
        sleep 0.25
    done
    says "season.json:7: no plan 9"
    kill -0 "$server" || fail "the server ended in turn $turn"
    end_by TERM
    ends_with 7
}

a_house_with_concerts_is_left_alone() # test
{
    play_the_server '[ { "concert_id": 1 } ]'
    serve
    not_called "catalogue load"
    end_by TERM
}

options_reach_usherd_in_their_order() # test
{
    play_the_server '[ { "concert_id": 1 } ]'
    mkdir "$stage/elsewhere"
    serve --listen 127.0.0.2:0 --quiet --data elsewhere --turn-max 7
    called "^usherd --data elsewhere --port-file [^ ]* --listen 127.0.0.2:0 --quiet --turn-max 7$"
    says "Usher serves on 127.0.0.2:4711 with the data in elsewhere"
    says "./usher ctl --data elsewhere concerts"
    end_by TERM
    usher ctl --data elsewhere concerts
    called "^usherctl --server 127.0.0.2:4711 --key elsewhere/admin.key concerts$"
}

a_signal_reaches_usherd_and_its_status_comes_back() # test
{
    for signal in INT TERM; do
        : >"$stage/called"
        play_the_server '[ { "concert_id": 1 } ]'
        serve
        end_by $signal
        called "^usherd ends$"
        ends_with 7
    done
}

# Wait until a line of what was called is this one.
until_called()
{
    for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        ! grep -q -- "$1" "$stage/called" || return 0
        sleep 0.25
    done
    fail "did not call in turn $turn: $1"
}

the_bridge_starts_beside_the_server_and_ends_with_the_run() # test
{
    play_the_server '[ { "concert_id": 1 } ]'
    serve
    called "^usher-http --server 127.0.0.1:4711 --key $stage/data/bridge.key --listen 127.0.0.1:7480 --operations 127.0.0.1:7481 "
    says "In a browser: http://127.0.0.1:7777/"
    end_by TERM
    ends_with 7
    until_called "^usher-http ends$"
}

the_bridge_is_enrolled_as_a_gateway_once() # test
{
    play_the_server '[ { "concert_id": 1 } ]'
    serve
    end_by TERM
    serve
    end_by TERM
    [ "$(grep -c "client enrol" "$stage/called")" -eq 1 ] || fail "was not enrolled once"
    rm "$stage/data/bridge.key"
    echo 'exit 1' >"$stage/build/release/apps/usherctl/usherctl"
    serve
    called "^usher-http .* --key $stage/data/admin.key "
    end_by TERM
}

a_bridge_that_ends_leaves_the_server_serving() # test
{
    play_the_server '[ { "concert_id": 1 } ]'
    serve
    kill -TERM "$(cat "$stage/bridge")"
    until_called "^usher-http ends$"
    not_called "^usherd ends$"
    kill -0 "$server" || fail "the server ended with its bridge"
    end_by TERM
    ends_with 7
}

where_the_port_of_the_bridge_is_taken_the_system_chooses() # test
{
    play_the_server '[ { "concert_id": 1 } ]'
    : >"$stage/port_is_taken"
    serve
    called "^usher-http .* --listen 127.0.0.1:0 --operations 127.0.0.1:0 "
    says "In a browser: http://127.0.0.1:7777/"
    end_by TERM
}

the_bridge_may_be_left_out_or_stand_elsewhere() # test
{
    play_the_server '[ { "concert_id": 1 } ]'
    serve --http off
    not_called "^usher-http"
    ! grep -q "In a browser" "$stage/said" || fail "spoke of a bridge"
    end_by TERM
    serve --http 127.0.0.2:0
    called "^usher-http .* --listen 127.0.0.2:0 "
    called "^usherd --data $stage/data --port-file [^ ]*$"
    says "In a browser: http://127.0.0.2:7777/"
    end_by TERM
}

instances_share_a_port_and_stop_together() # test
{
    play_the_server '[ { "concert_id": 1 } ]'
    mkdir "$stage/elsewhere"
    serve --instances 3 --data elsewhere --turn-max 7
    called "^usherd --data elsewhere --port-file [^ ]* --turn-max 7$"
    for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ "$(grep -c "^usherd --data" "$stage/called")" -lt 3 ] || break
        sleep 0.25
    done
    [ "$(grep -c "^usherd --data elsewhere --turn-max 7 --listen 127.0.0.1:4711 --join$" "$stage/called")" -eq 2 ] ||
        fail "two more did not join in turn $turn"
    end_by TERM
    ends_with 7
    [ "$(grep -c "^usherd ends$" "$stage/called")" -eq 3 ] || fail "not all three were stopped"
}

a_number_of_instances_that_is_none_is_refused() # test
{
    for number in 0 65 four ''; do
        usher run --instances "$number"
        ends_with 2
        says "--instances takes a number from 1 to 64"
    done
    not_called usherd
}

a_server_that_does_not_start_leaves_its_line_and_status() # test
{
    play_the_server '[ { "concert_id": 1 } ]'
    { echo '#!/bin/sh'; echo 'echo "usherd: the data directory is in use" >&2; exit 3'; } >"$stage/build/release/server/usherd"
    usher run
    ends_with 3
    [ "$(cat "$stage/said")" = "usherd: the data directory is in use" ] || fail "said something else"
}

# ---------------------------------------------------------------------------------------------------------------------

set_the_stage
grep -q "^$name() # test\$" "$here/usher_test.sh" || fail "there is no such test"
"$name"
