#!/bin/sh
# man_test.sh: the manual pages are well-formed, and leave nothing out that there is.
#
#   man_test.sh NAME     runs the test of that name, as CTest does
#
# What there is comes from where it is: the rows of server/*.def, the help of usherctl, the list of exported functions.
set -u

here=$(CDPATH='' cd -P -- "$(dirname -- "$0")" && pwd) || exit 1
top=$(CDPATH='' cd -P -- "$here/../.." && pwd) || exit 1
pages=$top/docs/man
name=${1:?usage: man_test.sh NAME}

fail()
{
    echo "$name: $*"
    exit 1
}

# A page with its escapes undone, a line each as it was.
plain() # page
{
    sed 's/\\-/-/g; s/\\&//g' "$pages/$1"
}

# Each line of the standard input is looked for in a page: as the beginning of a line, in whole words. The macro of options
# puts a dash in front by itself.
all_begin_a_line_of() # page, what goes before each
{
    text=$(plain "$1")
    count=0
    missing=''
    while read -r words; do
        count=$((count + 1))
        words=${words#-}
        printf '%s\n' "$text" | awk -v line="$2$words" '
            index($0, line) == 1 && substr($0, length(line) + 1, 1) !~ /[A-Za-z0-9_-]/ { found = 1 }
            END { exit !found }' || missing="$missing
  $words"
    done
    [ "$count" -gt 0 ] || fail "there was nothing to look for: has the source another form now?"
    [ -z "$missing" ] || fail "docs/man/$1 leaves out:$missing"
}

# ---- their form -----------------------------------------------------------------------------------------------------

every_page_is_clean_mdoc() # test
{
    command -v mandoc >/dev/null || fail "mandoc is not installed"
    for page in "$pages"/*.[1-8]; do
        # Whether another page that one refers to is installed here is not the page's fault.
        said=$(mandoc -T lint -W warning "$page" 2>&1 | grep -v 'mandoc.db')
        [ -z "$said" ] || fail "$said"
        [ "$(mandoc -T ascii "$page" | wc -l)" -gt 50 ] || fail "$page is no page"
    done
    [ "$(ls "$pages" | tr '\n' ' ')" = 'usher-bench.1 usher-http.8 usher.3 usher.7 usherctl.1 usherd.8 ' ] || fail "other pages than were looked at"
}

# ---- usherctl(1) ----------------------------------------------------------------------------------------------------

usherctl_1_has_every_command() # test
{
    "$BUILD/apps/usherctl/usherctl" help | awk '
        /^[a-z]/ { inside = ($0 == "commands:") }
        inside && /^  [a-z]/ { sub(/^  /, ""); sub(/  .*/, ""); print }' >"$work"
    [ "$(wc -l <"$work")" -gt 50 ] || fail "usherctl help lists too little"
    all_begin_a_line_of usherctl.1 '.It Cm ' <"$work"
}

# Those of every command, and those that a command has besides its request's fields.
usherctl_1_has_every_option_and_status() # test
{
    "$BUILD/apps/usherctl/usherctl" help | sed -n 's/^  \(--[a-z-]*\) .*/\1/p' >"$work"
    all_begin_a_line_of usherctl.1 '.It Fl ' <"$work" || exit 1
    "$BUILD/apps/usherctl/usherctl" help | sed -n '/^exit codes/,$s/^  \([0-9]\)  .*/\1/p' >"$work"
    all_begin_a_line_of usherctl.1 '.It ' <"$work" || exit 1
    sed -n 's/^ *[A-Z(].*"  \(--[a-z-]*\) .*/\1/p; s/^ *"  \(--[a-z-]*\) .*/\1/p' "$top/apps/usherctl/commands.c" >"$work"
    all_begin_a_line_of usherctl.1 '.It Fl ' <"$work"
}

# ---- usher-bench(1) -------------------------------------------------------------------------------------------------

usher_bench_1_has_every_option_scenario_and_status() # test
{
    rows=$top/bench/usher-bench
    sed -n 's/^BENCH_[NTS][A-Z]*(\([a-z0-9_]*\),.*/--\1/p' "$rows/options.def" | tr _ - >"$work"
    [ "$(wc -l <"$work")" -gt 30 ] || fail "options.def has another form now"
    all_begin_a_line_of usher-bench.1 '.It Fl ' <"$work" || exit 1
    sed -n 's/^BENCH_SCENARIO("\([a-z]*\)".*/\1/p' "$rows/scenarios.def" >"$work"
    all_begin_a_line_of usher-bench.1 '.It Cm ' <"$work" || exit 1
    sed -n 's/^BENCH_EXIT(\([0-9]\),.*/\1/p' "$rows/exits.def" >"$work"
    all_begin_a_line_of usher-bench.1 '.It ' <"$work"
}

# The rows' own bounds and defaults stand in the page as they are.
usher_bench_1_has_the_numbers_of_the_rows() # test
{
    text=$(plain usher-bench.1 | tr '\n' ' ' | sed 's/ \.It /\n.It /g')
    sed -n 's/^BENCH_NUMBER(\([a-z0-9_]*\), \([0-9]*\), \([0-9]*\), \([0-9]*\),.*/\1 \2 \3 \4/p' \
        "$top/bench/usher-bench/options.def" | tr _ - >"$work"
    [ "$(wc -l <"$work")" -gt 15 ] || fail "options.def has another form now"
    while read -r option usual least most; do
        printf '%s\n' "$text" | grep -q "^\.It Fl -$option Ar number .* $least to $most; by itself $usual\." ||
            fail "--$option is $least to $most, by itself $usual; docs/man/usher-bench.1 says something else"
    done <"$work"
}

# ---- usherd(8) ------------------------------------------------------------------------------------------------------

usherd_8_has_every_option() # test
{
    sed -n 's/^OPTION_[A-Z_]*(\([a-z_]*\),.*/--\1/p; s/^NET_LIMIT(\([a-z_]*\),.*/--\1/p' \
        "$top/server/options.def" "$top/server/net/limits.def" | tr _ - >"$work"
    [ "$(wc -l <"$work")" -gt 25 ] || fail "the rows have another form now"
    all_begin_a_line_of usherd.8 '.It Fl ' <"$work"
}

# The rows' own bounds and defaults stand in a page as they are.
has_the_numbers_of() # page, the rows' macro besides OPTION_NUMBER, files of rows
{
    page=$1
    macro=$2
    shift 2
    # An item a line.
    text=$(plain "$page" | tr -d ',' | tr '\n' ' ' | sed 's/ \.It /\n.It /g')
    count=0
    # name default least most
    sed -n "s/^OPTION_NUMBER(\([a-z_]*\), *\([0-9]*\), *\([0-9]*\), *\([0-9]*\),.*/\1 \2 \3 \4/p
            s/^$macro(\([a-z_]*\), *\([0-9]*\), *\([0-9]*\), *\([0-9]*\),.*/\1 \2 \3 \4/p" "$@" | tr _ - >"$work"
    while read -r option usual least most; do
        count=$((count + 1))
        printf '%s\n' "$text" | grep -q "^\.It Fl -$option Ar number .* $least to $most; by itself $usual\." ||
            fail "--$option is $least to $most, by itself $usual; docs/man/$page says something else"
    done <"$work"
    [ "$count" -gt 15 ] || fail "the rows have another form now"
}

usherd_8_has_the_numbers_of_the_rows() # test
{
    has_the_numbers_of usherd.8 NET_LIMIT "$top/server/options.def" "$top/server/net/limits.def"
}

usherd_8_has_every_verb_and_status() # test
{
    sed -n 's/^USHERD_VERB(\([a-z]*\),.*/\1/p' "$top/server/verbs.def" >"$work"
    all_begin_a_line_of usherd.8 '.It Cm ' <"$work" || exit 1
    sed -n 's/^USHERD_EXIT( *\([0-9]*\),.*/\1/p' "$top/server/exits.def" >"$work"
    all_begin_a_line_of usherd.8 '.It ' <"$work"
}

# The signals of the table in docs/operations.md, which tests play.
usherd_8_has_every_signal() # test
{
    plain usherd.8 | sed -n 's/^\.It Dv //p' | tr ', ' '\n\n' >"$work"
    signals=$(sed -n 's/^| \(SIG[A-Z0-9, ()a-zC-]*\) |.*/\1/p' "$top/docs/operations.md" | grep -o 'SIG[A-Z0-9]*')
    [ "$(echo "$signals" | wc -l)" -gt 8 ] || fail "docs/operations.md has another form now"
    for signal in $signals; do
        grep -qx "$signal" "$work" || [ "$signal" = SIGSEGV ] || fail "docs/man/usherd.8 leaves out $signal"
    done
}

# ---- usher-http(8) ---------------------------------------------------------------------------------------------------

usher_http_8_has_every_option_and_its_numbers() # test
{
    rows=$top/apps/http-bridge
    sed -n 's/^OPTION_[A-Z_]*(\([a-z_]*\),.*/--\1/p; s/^HTTP_LIMIT(\([a-z_]*\),.*/--\1/p' \
        "$rows/options.def" "$rows/limits.def" | tr _ - >"$work"
    [ "$(wc -l <"$work")" -gt 25 ] || fail "the rows have another form now"
    all_begin_a_line_of usher-http.8 '.It Fl ' <"$work" || exit 1
    has_the_numbers_of usher-http.8 'HTTP_LIMIT' "$rows/options.def" "$rows/limits.def"
}

usher_http_8_has_every_status() # test
{
    sed -n 's/^BRIDGE_EXIT( *\([0-9]*\),.*/\1/p' "$top/apps/http-bridge/exits.def" >"$work"
    all_begin_a_line_of usher-http.8 '.It ' <"$work"
}

# ---- usher(3) -------------------------------------------------------------------------------------------------------

usher_3_has_every_public_function() # test
{
    cut -d' ' -f1 "$top/client-sdk/exports.txt" >"$work"
    [ "$(wc -l <"$work")" -gt 50 ] || fail "exports.txt has another form now"
    all_begin_a_line_of usher.3 '.It Fn ' <"$work"
}

# A function is declared in a public header, below a comment of its own, or of the run of declarations that it stands in
# without an empty line between; and in one of them alone.
every_public_function_is_documented_in_its_header() # test
{
    awk '
        FNR == 1                  { documented = 0 }
        NR == FNR                 { export[$1] = 1; count++; next }
        /\*\/ *$/                 { documented = 1; next }
        /^ *$/                    { documented = 0; next }
        /^USHER_API /             { text = $0; sub(/\(.*/, "", text); sub(/.*[ *]/, "", text)
                                    declared[text]++
                                    if (!documented) print "  " text " has no comment above it" }
        END                       { for (name in export)
                                        if (declared[name] != 1)
                                            print "  " name " is declared " declared[name] + 0 " times"
                                    for (name in declared)
                                        if (!(name in export)) print "  " name " is declared and not exported"
                                    if (count < 50) print "  exports.txt has another form now" }' \
        "$top/client-sdk/exports.txt" "$top/client-sdk/include/usher.h" "$top/protocol/protocol.h" >"$work"
    [ ! -s "$work" ] || fail "in usher.h and protocol.h:
$(cat "$work")"
}

work=$(mktemp) || exit 1
trap 'rm -f "$work"' EXIT
"$name"
