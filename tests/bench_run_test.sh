#!/bin/sh
# bench_run_test.sh: usher-bench as it is called, small: its scenarios against a real usherd, its outputs, and its verdicts.
#
#   bench_run_test.sh NAME     runs the test of that name, as CTest does
#
# No test asks how fast anything is. A generator that fell behind (3) is a busy machine's, not a mistake.
set -u

name=${1:?usage: bench_run_test.sh NAME}
top=$(CDPATH='' cd -P -- "$(dirname -- "$0")/.." && pwd) || exit 1
bench=$BUILD/bench/usher-bench/usher-bench
work=$(mktemp -d) || exit 1
server=''
clean_up()
{
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT

fail()
{
    echo "$name: $*"
    cat "$work/said" "$work/errors" 2>/dev/null
    exit 1
}

# Run usher-bench on a small house; its exit code is in $code.
run() # arguments...
{
    TMPDIR=$work "$bench" --quiet "$@" >"$work/said" 2>"$work/errors" </dev/null
    code=$?
}
small='--users 200 --waiting 200 --dates 60 --seats 20 --seconds 1 --warmup 0 --connections 4'

is_valid() # report
{
    for python in python3 /usr/bin/python3; do
        "$python" -c 'import jsonschema' 2>/dev/null && break
    done
    "$python" - "$top/bench/report.schema.json" "$1" <<'program' || fail "$1 is not as its schema says"
import json, sys, jsonschema
schema, report = (json.load(open(path)) for path in sys.argv[1:])
jsonschema.Draft7Validator.check_schema(schema)
jsonschema.validate(report, schema)
assert report["checks"] and all(check["passed"] for check in report["checks"]), "a check did not pass"
assert all(run["answered"] > 0 for m in report["measurements"] for run in m["runs"]), "a run without answers"
program
}

# ---- what it measures -----------------------------------------------------------------------------------------------

# The whole purchase, polled and pushed, with repeated commands and all connections cut in the middle.
a_rush_is_right_and_its_report_fits_the_schema() # test
{
    for how in '' --push; do
        # shellcheck disable=SC2086 # no word, or one
        run --buyers 300 --dates 8 --seats 20 --connections 5 --rate 600 --admit 20 --think-ms 20 --retries 20 --leavers 10 \
            --json "$work/report" $how
        [ "$code" -eq 0 ] || [ "$code" -eq 3 ] || fail "it ended with $code"
        grep -q '^right: ' "$work/errors" || fail "it does not say that the house was right"
        is_valid "$work/report"
        python3 - "$work/report" <<'program' || fail "the rush was none"
import json, sys
report = json.load(open(sys.argv[1]))
rush, fates = report["rush"], report["rush"]["fates"]
assert sum(fates.values()) == rush["buyers"] == 300, fates
assert fates["bought"] > 0 and rush["seats_bought"] >= fates["bought"], fates
assert fates["lost"] == 0, fates
assert rush["repeated"] > 0
assert {"join", "dates", "seats", "reserve", "charge", "pay"} <= {m["step"] for m in report["measurements"]}
program
    done
}

every_job_is_measured_in_a_closed_loop() # test
{
    jobs='join rank dates seats reserve release charge balance pay mix'
    # shellcheck disable=SC2086 # words
    run $small --closed --tasks 150 --pipeline 1,4 --json "$work/report" --csv "$work/csv" --hgrm "$work/hgrm" $jobs
    [ "$code" -eq 0 ] || fail "it ended with $code"
    is_valid "$work/report"
    for job in $jobs; do
        [ "$(grep -c "^$job  *4 " "$work/said")" -eq 2 ] || fail "$job is not in the table twice"
        [ "$(grep -c "^$job,,closed,4,[14],0," "$work/csv")" -eq 2 ] || fail "$job is not in the CSV twice"
        grep -q '^#\[Max ' "$work"/hgrm/*-"$job"-4x1.sent.hgrm || fail "$job has no .hgrm"
    done
}

an_open_loop_tells_latency_from_the_intended_start_and_from_the_sending() # test
{
    # shellcheck disable=SC2086 # words
    run $small --rate 300 --tasks 200 --repeat 2 --fixed --json "$work/report" --hgrm "$work/hgrm" seats
    [ "$code" -eq 0 ] || [ "$code" -eq 3 ] || fail "it ended with $code"
    is_valid "$work/report"
    python3 - "$work/report" <<'program' || fail "the report does not tell both"
import json, sys
measurement, = json.load(open(sys.argv[1]))["measurements"]
assert measurement["arrivals"] == "fixed" and measurement["offered"] == 300 and len(measurement["runs"]) == 2
for run in measurement["runs"]:
    assert run["asked"] == 200 and run["intended_us"]["count"] == run["sent_us"]["count"] == run["answered"]
    assert run["intended_us"]["mean"] >= run["sent_us"]["mean"]
    assert "p99" not in run["sent_us"] and "p95" in run["sent_us"], "ten samples above a percentile, or none is said"
program
    [ -s "$work"/hgrm/01-seats-4x128.intended.hgrm ] && [ -s "$work"/hgrm/01-seats-4x128.sent.hgrm ] || fail "no .hgrm"
}

# X3: what was acknowledged before each kill is there after it, and the house goes on.
a_server_that_is_killed_comes_back_with_all_it_acknowledged() # test
{
    # shellcheck disable=SC2086 # words
    run $small --tasks 400 --json "$work/report" recovery
    [ "$code" -eq 0 ] || fail "it ended with $code"
    [ "$(grep -c '^killed and back after' "$work/said")" -eq 3 ] || fail "it was not killed three times"
    grep -q '^right: ' "$work/errors" || fail "it does not say that the house was right"
    python3 - "$work/report" <<'program' || fail "the report does not tell three kills"
import json, sys
report = json.load(open(sys.argv[1]))
assert len(report["recovery"]) == 3 and all(kill["users"] >= 400 and kill["back_ms"] > 0 for kill in report["recovery"])
assert all(check["passed"] for check in report["checks"]) and len(report["checks"]) == 10
program
}

# ---- what it finds --------------------------------------------------------------------------------------------------

start_server()
{
    "$BUILD/server/usherd" --data "$work/data" --listen 127.0.0.1:0 --port-file "$work/port" --map-size 1073741824 --quiet \
        2>"$work/log" &
    server=$!
    while [ ! -s "$work/port" ]; do
        kill -0 "$server" || fail "usherd does not start: $(cat "$work/log")"
        sleep 0.02
    done
    address=127.0.0.1:$(cat "$work/port")
}

# While the bench asks, somebody else charges points: an effect that no request of the bench accounts for. So a check that
# fails ends with 1.
a_house_that_did_what_nobody_asked_for_ends_it_with_1() # test
{
    start_server
    ("$bench" --quiet --users 50 --waiting 10 --dates 2 --seconds 3 --warmup 0 --connections 2 --closed --server "$address" \
        --key "$work/data/admin.key" charge >"$work/said" 2>"$work/errors"
        echo $? >"$work/code") &
    asking=$!
    while ! grep -q '^prepared' "$work/errors" 2>/dev/null; do
        kill -0 "$asking" || fail "the bench has ended"
        sleep 0.02
    done
    "$BUILD/apps/usherctl/usherctl" --server "$address" --key "$work/data/admin.key" charge \
        6f1d3c52-8a47-4d0e-9b36-0c5e7a1f2d84 100 >/dev/null || fail "the charge from outside was refused"
    wait "$asking"
    [ "$(cat "$work/code")" = 1 ] || fail "it ended with $(cat "$work/code")"
    grep -q '^WRONG: each request id was applied once' "$work/errors" || fail "it does not say which check failed"
    # A house with people in it is not taken at all.
    run --server "$address" --key "$work/data/admin.key" seats
    [ "$code" -eq 5 ] || fail "a house that is not empty: $code"
    grep -q 'new and empty data' "$work/errors" || fail "it does not say why"
}

a_baseline_that_was_better_ends_it_with_4() # test
{
    # shellcheck disable=SC2086 # words
    run $small --closed --tasks 300 --json "$work/first" balance
    [ "$code" -eq 0 ] || fail "it ended with $code"
    for factor in 1000 0.001; do
        python3 - "$work/first" "$work/baseline" "$factor" <<'program' || fail "no baseline"
import json, sys
report = json.load(open(sys.argv[1]))
for measurement in report["measurements"]:
    for key in measurement["per_second"]:
        measurement["per_second"][key] *= float(sys.argv[3])
    measurement.pop("p99_us", None)
json.dump(report, open(sys.argv[2], "w"))
program
        # shellcheck disable=SC2086 # words
        run $small --closed --tasks 300 --json "$work/report" --baseline "$work/baseline" balance
        case $factor:$code in
        1000:4) grep -q '^balance: worse' "$work/errors" || fail "it does not say what is worse" ;;
        0.001:0) grep -q '^balance: better' "$work/errors" || fail "it does not say what is better" ;;
        *) fail "against $factor times its own rate it ended with $code" ;;
        esac
        is_valid "$work/report"
    done
    # shellcheck disable=SC2086 # words
    run $small --closed --tasks 100 --baseline "$work/first" seats
    [ "$code" -eq 2 ] || fail "a baseline of something else: $code"
    echo '{}' >"$work/none"
    # shellcheck disable=SC2086 # words
    run $small --closed --tasks 100 --baseline "$work/none" seats
    [ "$code" -eq 2 ] || fail "a baseline that is none: $code"
}

# A generator that was stopped for a while came late to its tasks; to as many each time as it has places in flight.
a_generator_that_fell_behind_ends_it_with_3() # test
{
    # shellcheck disable=SC2086 # words
    TMPDIR=$work "$bench" --quiet $small --seconds 2 --rate 2000 seats >"$work/said" 2>"$work/errors" &
    asking=$!
    while ! grep -q '^prepared' "$work/errors"; do
        kill -0 "$asking" || fail "the bench has ended"
        sleep 0.02
    done
    for _ in 1 2 3 4 5; do
        kill -STOP "$asking"
        sleep 0.2
        kill -CONT "$asking"
        sleep 0.1
    done
    wait "$asking"
    code=$?
    [ "$code" -eq 3 ] || fail "it ended with $code"
    grep -q 'VOID' "$work/said" || fail "the table does not say it"
    grep -q 'the generator fell behind' "$work/errors" || fail "it does not say why"
}

the_capacity_is_one_sentence_and_one_field() # test
{
    # shellcheck disable=SC2086 # words
    run $small --find-capacity --p99-us 10 --json "$work/report" seats
    [ "$code" -eq 0 ] || fail "it ended with $code"
    grep -q '^Even 2000 seats tasks a second break the bound of 0.0 ms here.' "$work/said" || fail "no sentence"
    python3 - "$work/report" <<'program' || fail "no field"
import json, sys
capacity = json.load(open(sys.argv[1]))["capacity"]
assert capacity["per_second"] == 0 and len(capacity["steps"]) == 1 and not capacity["steps"][0]["holds"]
program
}

# ---- what it refuses ------------------------------------------------------------------------------------------------

# Each of these is one line, and nothing is measured.
refused() # what it says, arguments...
{
    says=$1
    shift
    run "$@"
    [ "$code" -eq 2 ] || fail "usher-bench $*: ended with $code"
    [ "$(wc -l <"$work/errors")" -eq 1 ] || fail "usher-bench $*: not one line"
    grep -q -- "$says" "$work/errors" || fail "usher-bench $*: does not say: $says"
}

what_can_not_be_right_is_refused_in_one_line() # test
{
    refused 'no option --nonsense' --nonsense
    refused 'no scenario "dance"' dance
    refused '--seconds takes a number from 1 to 3600, not "0"' --seconds 0
    refused '--seconds takes a number from 1 to 3600, not "3601"' --seconds 3601
    refused '--seconds takes a number' --seconds 1x
    refused '--repeat takes a number from 1 to 64, not "65"' --repeat 65
    refused '--connections takes up to 16 numbers' --connections 1,,5
    refused '--connections takes up to 16 numbers' --connections 1,0
    refused '--connections takes up to 16 numbers' --connections 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17
    refused '--json needs a value' --json
    refused '--closed takes no value' --closed=1
    refused '--server and --key belong together' --server 127.0.0.1:1
    refused 'leave --closed out' --closed --rate 5
    refused 'leave --closed out' --closed --find-capacity
    refused 'a single job' --find-capacity rush
    refused 'one scenario' --find-capacity join rank
    refused '/nowhere/x can.t be written' --json /nowhere/x
    refused 'baseline /nowhere/x can.t be read' --baseline /nowhere/x
    refused 'for a server that is started here' --server 127.0.0.1:1 --key "$work/key" -- --quiet
}

a_server_that_does_not_start_ends_it_with_5() # test
{
    run seats -- --nonsense
    [ "$code" -eq 5 ] || fail "it ended with $code"
    grep -q 'nonsense' "$work/errors" || fail "it does not say what usherd said"
    run --usherd /nowhere/usherd seats
    [ "$code" -eq 5 ] || fail "it ended with $code"
    rest=$(ls -A "$work" | grep -c '^usher-bench-')
    [ "$rest" -eq 0 ] || fail "data folders are left"
}

help_lists_every_option_scenario_and_exit_code() # test
{
    run --help
    [ "$code" -eq 0 ] || fail "it ended with $code"
    sed -n 's/^BENCH_\(NUMBER\|NUMBERS\|TEXT\|SWITCH\)(\([a-z0-9_]*\),.*/\2/p' "$top/bench/usher-bench/options.def" |
        tr _ - >"$work/options"
    [ "$(wc -l <"$work/options")" -gt 30 ] || fail "options.def has another form now"
    while read -r option; do
        grep -q -- "^  --$option " "$work/said" || fail "--$option is not in the help"
    done <"$work/options"
    for scenario in $(sed -n 's/^BENCH_SCENARIO("\([a-z]*\)".*/\1/p' "$top/bench/usher-bench/scenarios.def"); do
        grep -q "^  $scenario " "$work/said" || fail "$scenario is not in the help"
    done
    [ "$(grep -c '^  [0-9]  ' "$work/said")" -eq 6 ] || fail "exit codes are missing"
}

grep -q "^$name() # test\$" "$top/tests/bench_run_test.sh" || fail "there is no such test"
"$name"
