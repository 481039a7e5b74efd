#!/bin/sh
# requirements_test.sh: requirements_check.sh finds every way in which the map can be wrong.
#
#   requirements_test.sh NAME     runs the test of that name, as CTest does
# shellcheck disable=SC2016 # the map's own backticks
set -u

here=$(CDPATH='' cd -P -- "$(dirname -- "$0")" && pwd) || exit 1
name=${1:?usage: requirements_test.sh NAME}
stage=$(mktemp -d) || exit 1
trap 'rm -rf "$stage"' EXIT
map=$stage/house/docs/requirements.md

fail()
{
    echo "$name: $*"
    cat "$stage/said"
    exit 1
}

# A sound map: every number has one file and one test, but the API's, which are not built yet.
set_the_stage()
{
    mkdir -p "$stage/house/docs" "$stage/build/tests"
    : >"$stage/house/code.c"
    for range in 'S 6' 'T 5' 'C 4' 'R 3' 'P 3' 'B 2' 'F 5' 'Q 13' 'H 11' 'M 10' 'X 8'; do
        number=0
        while [ "$number" -lt "${range#* }" ]; do
            number=$((number + 1))
            printf '| %s%d | what it asks | `code.c` | `proof.of_it` |\n' "${range% *}" "$number"
        done
    done >"$map"
    printf '\n## Not built yet\n\n' >>"$map"
    for number in 1 2 3 4 5 6 7; do
        printf '| A%d | all of it |\n' $number
    done >>"$map"
    echo 'add_test([=[proof.of_it]=] "proof" "of_it")' >"$stage/build/tests/CTestTestfile.cmake"
    report 'status="run"' 'proof.of_it'
}

report() # status, test
{
    printf '<testsuite>\n\t<testcase name="%s" classname="%s" time="0.01" %s>\n\t</testcase>\n</testsuite>\n' \
        "$2" "$2" "$1" >"$stage/report.xml"
}

change() # a sed command over the map
{
    sed "$1" "$map" >"$stage/changed"
    ! cmp -s "$stage/changed" "$map" || fail "the change changes nothing"
    mv "$stage/changed" "$map"
}

check()
{
    sh "$here/requirements_check.sh" "$1" "$2" "$map" >"$stage/said" 2>&1
    status=$?
}

finds() # what it must say, by the tests that exist and by those that ran
{
    for way in "--in $stage/build" "--ran $stage/report.xml"; do
        check "${way% *}" "${way#* }"
        [ $status -eq 1 ] || fail "ended with $status, not 1"
        grep -qxF "requirements: $1" "$stage/said" || fail "did not say: $1"
    done
}

a_sound_map_passes_and_is_counted() # test
{
    for way in "--in $stage/build" "--ran $stage/report.xml"; do
        check "${way% *}" "${way#* }"
        [ $status -eq 0 ] || fail "ended with $status"
        grep -qxF "requirements: 70 of 77 numbers are proved by tests, 0 of them in part; not built yet: 7" \
            "$stage/said" || fail "counted otherwise"
    done
}

a_number_in_both_lists_is_built_in_part() # test
{
    echo '| X5 | the bound |' >>"$map"
    check --in "$stage/build"
    grep -qF "70 of 77 numbers are proved by tests, 1 of them in part; not built yet: 7" "$stage/said" ||
        fail "counted otherwise"
}

a_number_without_a_test_is_found() # test
{
    change 's/^| M7 | \(.*\) | .* |$/| M7 | what it asks | `code.c` | |/'
    finds "M7 has no test"
}

a_number_without_a_file_is_found() # test
{
    change 's/^| Q13 | .*/| Q13 | what it asks | | `proof.of_it` |/'
    finds "Q13 names no file"
}

a_number_that_is_nowhere_is_found() # test
{
    change '/^| H11 /d'
    finds "H11 is missing from the map"
}

a_number_that_waits_must_be_listed() # test
{
    change '/^| A3 /d'
    finds "A3 is missing from the map"
}

a_number_with_two_rows_is_found() # test
{
    change 's/^| S2 |/| S1 |/'
    finds "S1 has two rows"
    grep -q "S2 is missing" "$stage/said" || fail "S2 is gone and was not missed"
}

a_number_that_nobody_gave_is_found() # test
{
    change 's/^| X8 |/| X9 |/'
    finds "X9 is no number of the requirements or rules"
}

a_test_that_does_not_exist_is_found() # test
{
    change 's/^\(| R3 .*\)`proof.of_it`/\1`proof.of_it` `proof.of_nothing`/'
    check --in "$stage/build"
    [ $status -eq 1 ] || fail "ended with $status"
    grep -qxF "requirements: R3 names the test proof.of_nothing, which does not exist" "$stage/said" ||
        fail "did not find it"
}

a_test_that_did_not_pass_is_found() # test
{
    for status in fail notrun disabled; do
        report "status=\"$status\"" proof.of_it
        check --ran "$stage/report.xml"
        [ $status -eq 1 ] || fail "ended with $status"
        grep -qF "B1 names the test proof.of_it, which did not pass in this run" "$stage/said" || fail "did not find it"
    done
}

a_file_that_does_not_exist_is_found() # test
{
    change 's/^\(| P2 .*\)`code.c`/\1`code.c` `gone.c`/'
    finds "P2 names the file gone.c, which is not there"
}

numbers_listed_beside_the_clone_are_asked_for() # test
{
    mkdir "$stage/shared"
    echo '| Q14 | a rule of tomorrow |' >"$stage/shared/RULES.md"
    finds "Q14 is missing from the map"
}

wrong_arguments_are_refused() # test
{
    check --every "$stage/build"
    [ $status -eq 2 ] || fail "ended with $status"
    check --in "$stage/nowhere"
    [ $status -eq 2 ] || fail "ended with $status"
}

: >"$stage/said"
set_the_stage
grep -q "^$name() # test\$" "$here/requirements_test.sh" || fail "there is no such test"
"$name"
