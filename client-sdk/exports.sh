#!/bin/sh
# exports.sh: list what a libusher.so exports, a line each, as client-sdk/exports.txt has it.
#
#   exports.sh LIBRARY
#
# After a function was added: cmake --build BUILD --target exports writes the file anew. A line that goes away or changes
# breaks programs that are out there: package/README.md says what that takes.
set -u

library=${1:?usage: exports.sh LIBRARY}
symbols=$(LC_ALL=C nm --dynamic --defined-only --with-symbol-versions "$library") || exit 1
# Address, kind, name@@node; the node itself is an absolute symbol and goes without saying.
printf '%s\n' "$symbols" | awk '$2 != "A" { sub(/@+/, " ", $3); print $3, $2 }' | LC_ALL=C sort
