#!/bin/sh
# requirements_check.sh: every number of the requirements and rules has code and a test that is there, and that ran.
#
#   requirements_check.sh --in BUILD MAP    the tests that the map names are registered with CTest in this build folder
#   requirements_check.sh --ran REPORT MAP  they ran and passed, by CTest's JUnit report
#
# MAP is docs/requirements.md. Its rows are
#   | Q1 | what it asks for | `file` `file` | `test` `test` |
# and those below the heading "Not built yet" are
#   | Q1 | what is missing |
# A number stands in the first list, or in the second, or, built in part, in both. Prints what is wrong, a line each,
# and ends with 1; or prints the count.
set -u

# The numbers that there are: letter and highest number.
ranges='S6 T5 C4 R3 P3 B2 A7 F5 Q13 H11 M10 X8'

mode=${1-}
source=${2-}
map=${3-}
case $mode in
--in | --ran) ;;
*) mode= ;;
esac
if [ -z "$mode" ] || [ ! -e "$source" ] || [ ! -f "$map" ]; then
    echo "usage: requirements_check.sh --in BUILD MAP | --ran REPORT MAP" >&2
    exit 2
fi
top=$(CDPATH='' cd -P -- "$(dirname -- "$map")/.." && pwd) || exit 2

all_numbers()
{
    for range in $ranges; do
        letter=${range%"${range#?}"}
        count=${range#?}
        number=1
        while [ "$number" -le "$count" ]; do
            echo "number $letter$number"
            number=$((number + 1))
        done
    done
}

# Where the lists themselves stand beside the clone, they say which numbers there are.
listed_numbers()
{
    for list in "$top/../shared/REQUIREMENTS.md" "$top/../shared/RULES.md"; do
        [ ! -f "$list" ] || sed -n 's/^| *\([A-Z][0-9][0-9]*\) *|.*/number \1/p' "$list"
    done
}

tests_there()
{
    if [ "$mode" = --in ]; then
        find "$source" -name CTestTestfile.cmake -exec sed -n 's/^add_test(\[=*\[\([^]]*\)\]=*\] .*/test \1/p' {} +
    else
        sed -n 's/^	<testcase name="\([^"]*\)".* status="run">.*/test \1/p' "$source"
    fi
}

# The map's rows in words: proof NUMBER TEST, code NUMBER FILE, later NUMBER.
map_rows()
{
    awk -F'|' '
        /^#/                                { later = ($0 ~ /Not built yet/) }
        /^\| *[A-Z][0-9]+ *\|/              { gsub(/ /, "", $2)
                                              if (later) { print "later", $2; next }
                                              print "row", $2
                                              words("code", $2, $4)
                                              words("proof", $2, $5) }
        function words(kind, number, text,    part, count, at) {
            count = split(text, part, "`")
            for (at = 2; at <= count; at += 2) print kind, number, part[at]
        }' "$map"
}

# Files that the map names and that are not there.
missing_files()
{
    map_rows | sort -u | while read -r kind number path; do
        [ "$kind" != code ] || [ -e "$top/$path" ] || echo "absent $number $path"
    done
}

{ all_numbers; listed_numbers; tests_there; missing_files; map_rows; } | awk -v mode="$mode" '
    function wrong(text)  { print "requirements: " text; failed = 1 }
    $1 == "number"        { if (!($2 in number)) { number[$2] = 1; order[++numbers] = $2 } }
    $1 == "test"          { there[$2] = 1 }
    $1 == "absent"        { wrong($2 " names the file " $3 ", which is not there") }
    $1 == "later"         { later[$2] = 1 }
    $1 == "row"           { if ($2 in row) wrong($2 " has two rows"); row[$2] = 1 }
    $1 == "code"          { code[$2] = 1 }
    $1 == "proof"         { proofs[$2]++
                            if (!($3 in there))
                                wrong($2 " names the test " $3 ", which " \
                                      (mode == "--in" ? "does not exist" : "did not pass in this run")) }
    END {
        for (i = 1; i <= numbers; i++) {
            n = order[i]
            if (n in proofs) {
                proved++
                if (!(n in code)) wrong(n " names no file")
                if (n in later) parts++
            } else if (n in row) wrong(n " has no test")
            else if (n in later) waiting++
            else wrong(n " is missing from the map")
        }
        for (n in row) if (!(n in number)) wrong(n " is no number of the requirements or rules")
        for (n in later) if (!(n in number)) wrong(n " is no number of the requirements or rules")
        if (failed) exit 1
        printf "requirements: %d of %d numbers are proved by tests, %d of them in part; not built yet: %d\n",
               proved, numbers, parts, waiting
    }'
