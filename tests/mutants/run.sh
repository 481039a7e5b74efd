#!/bin/sh
# run.sh: does the test run catch mistakes? Applies each block of mutants.txt to a copy of HEAD, builds, runs the
# scenes, the audit's tests and the simulation, and prints what caught it. Exit 1 if one lived.
#
#   sh tests/mutants/run.sh [WORD]     only the mutants whose name holds WORD
set -u
here=$(CDPATH='' cd -P -- "$(dirname -- "$0")" && pwd)
top=$(CDPATH='' cd -P -- "$here/../.." && pwd)
word=${1:-}
copy=$(mktemp -d) || exit 2
trap 'rm -rf "$copy"' EXIT
trap 'exit 130' INT TERM

# What looks at a mutant: quick tests without sockets, then a short simulation if there is one.
tests='^(scene_|audit_test|grace_test|commit_test|store_line_test|store_test|store_index_test)'

mkdir "$copy/tree" "$copy/build"
git -C "$top" archive HEAD | tar -xf - -C "$copy/tree" || exit 2
mkdir "$copy/blocks"
awk -v folder="$copy/blocks" '
    /^#/ || /^$/ { next }
    /^name: / { file = sprintf("%s/%03d", folder, ++count) }
    { print > file }' "$here/mutants.txt"

build()
{
    cmake --build "$copy/build" -j 2 >"$copy/build.log" 2>&1
}

cmake -G Ninja -S "$copy/tree" -B "$copy/build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g" \
    >"$copy/build.log" 2>&1 && build || { tail "$copy/build.log"; exit 2; }

# Change the one line of the block; exit 1 if it does not stand there exactly once.
apply()
{
    awk -v block="$1" '
        function trim(text) { sub(/^[ \t]+/, "", text); sub(/[ \t]+$/, "", text); return text }
        BEGIN {
            while ((getline line < block) > 0) {
                if (line ~ /^- /) before = trim(substr(line, 3))
                if (line ~ /^\+ /) after = trim(substr(line, 3))
            }
        }
        trim($0) == before { print after; found++; next }
        { print }
        END { exit found == 1 ? 0 : 1 }' "$2" >"$copy/changed" && cat "$copy/changed" >"$2"
}

caught_by()
{
    ctest --test-dir "$copy/build" -j 2 --timeout 60 -R "$tests" >"$copy/test.log" 2>&1
    failed=$(sed -n 's/^[ \t]*[0-9]* - \([a-z_0-9.]*\) (.*$/\1/p' "$copy/test.log")
    if [ -n "$failed" ]; then
        printf '%s tests, the first %s\n' "$(printf '%s\n' "$failed" | wc -l)" "$(printf '%s\n' "$failed" | head -n 1)"
        return
    fi
    simulation=$(find "$copy/build" -name usher-sim -type f | head -n 1)
    [ -n "$simulation" ] || return
    timeout 120 "$simulation" --seed 1 --commands 50000 >"$copy/sim.log" 2>&1 || echo "the simulation"
}

lived=0 total=0 unfit=0
for block in "$copy"/blocks/*; do
    name=$(sed -n 's/^name: //p' "$block")
    file=$(sed -n 's/^file: //p' "$block")
    case $name in *"$word"*) ;; *) continue ;; esac
    total=$((total + 1))
    cp -p "$copy/tree/$file" "$copy/sound"
    if ! apply "$block" "$copy/tree/$file"; then
        printf '%-76s DOES NOT FIT %s any more\n' "$name" "$file"
        unfit=$((unfit + 1))
        cp "$copy/sound" "$copy/tree/$file"
        continue
    fi
    if build; then caught=$(caught_by); else caught='the compiler'; fi
    [ -n "$caught" ] || { caught='NOTHING: it lives'; lived=$((lived + 1)); }
    printf '%-76s %s\n' "$name" "$caught"
    cp "$copy/sound" "$copy/tree/$file"
done
printf '%d mutants, %d lived, %d do not fit\n' "$total" "$lived" "$unfit"
[ "$lived" -eq 0 ] && [ "$unfit" -eq 0 ] && [ "$total" -gt 0 ]
