#!/bin/sh
# house_test.sh: the house keeps its shape (F1 to F3): its folders are there, includes point one way, and each library is
# used where it belongs. docs/architecture.md draws it.
#
#   house_test.sh NAME     runs the test of that name, as CTest does
set -u

name=${1:?usage: house_test.sh NAME}
top=$(CDPATH='' cd -P -- "$(dirname -- "$0")/.." && pwd) || exit 1
cd "$top" || exit 1
found=$(mktemp) || exit 1
trap 'rm -f "$found"' EXIT

fail()
{
    echo "$name: $*"
    cat "$found"
    exit 1
}

# The includes of the C files in these folders, a line "file: #include ..." each.
includes_of()
{
    find "$@" -name '*.[ch]' -exec grep -H '^ *# *include' {} + 2>/dev/null
}

# No file of these folders includes what the pattern names. There must be files, or the test would prove nothing.
never() # pattern, folders...
{
    pattern=$1
    shift
    includes_of "$@" >"$found"
    [ -s "$found" ] || fail "there is no C file in: $*"
    includes_of "$@" | grep -E "$pattern" >"$found"
    [ ! -s "$found" ] || fail "these includes go against the house:"
}

# F3: the folders that the requirements name, and the front door's papers.
the_top_level_has_its_folders() # test
{
    for path in server client-sdk protocol bench tests apps CMakeLists.txt SPEC.md README.md docs/architecture.md; do
        [ -e "$path" ] || fail "$path is not there"
    done
}

# F1: it is written in C; scripts are the front door and its tests.
the_program_is_written_in_c() # test
{
    # a binding is written in the language that it binds
    find server protocol client-sdk apps -type f ! -path 'client-sdk/bindings/*' \
        \( -name '*.cc' -o -name '*.cpp' -o -name '*.cxx' -o -name '*.rs' -o -name '*.go' -o -name '*.py' \) >"$found"
    [ ! -s "$found" ] || fail "these are not C:"
    [ "$(find server protocol client-sdk apps -name '*.c' | wc -l)" -gt 20 ] || fail "where is the program?"
}

# F3: main -> net -> commit -> core -> store -> protocol, and never back.
includes_point_one_way() # test
{
    never '"(\.\./)*(server|client-sdk|apps|tests)/' protocol
    never '"server/(core|commit|net)/' server/store
    never '"server/(commit|net)/' server/core
    never '"server/net/' server/commit
    never '"(client-sdk|apps|tests)/' server
}

# F4: whatever is built on the SDK needs nothing but its public header.
programs_on_the_sdk_include_its_public_header_alone() # test
{
    never '"(\.\./)*(server|protocol|client-sdk|tests)/' apps client-sdk/examples bench/common bench/check bench/usher-bench
    never '"(\.\./)*(server|apps|tests)/' client-sdk
}

# F2: the store alone knows LMDB, net and the bridge alone know libevent, and the machine of the rules knows neither. The
# SDK needs no loop; its adapters, which are headers for those who have one, name theirs. One file knows the parser of HTTP.
each_library_is_used_where_it_belongs() # test
{
    never '<lmdb\.h>' protocol server/core server/commit server/net client-sdk apps
    never '<event' protocol server/core server/commit server/store client-sdk/src client-sdk/include client-sdk/fake \
        apps/usherctl
    [ "$(includes_of apps | grep '<http_parser\.h>' | cut -d: -f1)" = apps/http-bridge/parser.c ] ||
        fail "more than parser.c, or nothing, knows http_parser"
    includes_of server/store | grep -q '<lmdb\.h>' || fail "the store does not use LMDB"
    includes_of server/net | grep -q '<event2/' || fail "net does not use libevent"
    includes_of protocol | grep -q '<xxhash\.h>' || fail "the wire does not use xxHash"
    includes_of protocol | grep -q '<sodium\.h>' || fail "tokens do not use libsodium"
    includes_of tests | grep -q '<cmocka\.h>' || fail "the tests do not use cmocka"
}

# X1: the machine asks no clock and draws no random number, so that a run repeats exactly.
the_core_asks_no_clock_and_draws_no_lots() # test
{
    find server/core -name '*.[ch]' -exec grep -HnE \
        '\<(time|clock_gettime|gettimeofday|rand|random|getrandom|randombytes_[a-z]+)\(' {} + >"$found"
    [ ! -s "$found" ] || fail "the core must be told these:"
}

grep -q "^$name() # test\$" "$top/tests/house_test.sh" || fail "there is no such test"
"$name"
