#!/bin/sh
# instructions.sh: how many machine instructions each command takes, counted by callgrind over a fixed script, beside the
# figures that are kept in instructions.txt. They may fall; one that rises by more than a fiftieth needs a reason in the
# commit that raises it. Unlike times, counts are nearly the same on every run.
#
#     instructions.sh MICRO             compare; exits 1 if one has risen
#     instructions.sh --keep MICRO      write the figures anew
set -u

here=$(CDPATH='' cd -P -- "$(dirname -- "$0")" && pwd) || exit 1
kept=$here/instructions.txt
keep=no
if [ "${1-}" = --keep ]; then
    keep=yes
    shift
fi
micro=${1:?usage: instructions.sh [--keep] MICRO}
stage=$(mktemp -d) || exit 1
trap 'rm -rf "$stage"' EXIT

if ! commands=$(valgrind --tool=callgrind --callgrind-out-file="$stage/out" --toggle-collect='script_*' \
    "$micro" --script 2>"$stage/said"); then
    cat "$stage/said" >&2
    echo "instructions.sh: callgrind could not run $micro" >&2
    exit 1
fi
# Lines like " 28,584,341 (13.91%)  ???:script_charge [...]".
callgrind_annotate --inclusive=yes "$stage/out" 2>/dev/null |
    sed -n 's/^ *\([0-9,]*\).*:script_\([a-z]*\).*/\2 \1/p' | tr -d , | sort |
    awk -v commands="$commands" '{ printf "%s %d\n", $1, $2 / commands }' >"$stage/counted"
[ "$(wc -l <"$stage/counted")" -eq 4 ] || {
    echo "instructions.sh: callgrind's report has another form now" >&2
    exit 1
}
if [ $keep = yes ]; then
    cp "$stage/counted" "$kept" && cat "$kept"
    exit
fi
awk '
    NR == FNR { kept[$1] = $2; next }
    {
        verdict = !($1 in kept) ? "not kept yet" : $2 > kept[$1] * 1.02 ? "RISEN" : \
                  $2 < kept[$1] * 0.98 ? "fallen: keep it" : "the same"
        printf "%-8s %7d instructions a command, kept %7d: %s\n", $1, $2, kept[$1], verdict
        if (verdict == "RISEN" || verdict == "not kept yet") bad = 1
    }
    END { exit bad }' "$kept" "$stage/counted" || {
    echo "instructions.sh: more than is kept in bench/instructions.txt: find out why; ./usher bench --instructions --keep" \
        "takes the new figures, and the commit says the reason" >&2
    exit 1
}
