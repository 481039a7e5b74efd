#!/bin/sh
# package_test.sh: libusher as it is installed: what it exports, and each way to build a program with it.
#
#   package_test.sh NAME     runs the test of that name, as CTest does
#
# BUILD, CMAKE, CC and CXX come from CTest. Each test installs into a temporary folder of its own and works there with
# nothing of this tree but the programs in consumer/.
set -u

here=$(CDPATH='' cd -P -- "$(dirname -- "$0")" && pwd) || exit 1
top=$(CDPATH='' cd -P -- "$here/../.." && pwd) || exit 1
name=${1:?usage: package_test.sh NAME}
stage=$(mktemp -d) || exit 1
server=''
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$stage"' EXIT
unset LD_LIBRARY_PATH CFLAGS CXXFLAGS LDFLAGS DESTDIR

fail()
{
    echo "$name: $*"
    [ ! -s "$stage/said" ] || { echo "--- said"; tail -n 20 "$stage/said" | cut -c 1-200; }
    exit 1
}

# Do it quietly, or show what it said and fail.
must() # command...
{
    "$@" >"$stage/said" 2>&1 || fail "failed: $*"
}

install_here()
{
    prefix=$stage/prefix
    must "$CMAKE" --install "$BUILD" --prefix "$prefix"
    pc=$(find "$prefix" -name usher.pc) || exit 1
    library=$(dirname "$(dirname "$pc")")
    PKG_CONFIG_PATH=$(dirname "$pc")
    export PKG_CONFIG_PATH
}

# A consumer speaks of a key file that is none, of the rows, and of the library's binary interface.
runs() # program
{
    must "$1"
    grep -q '^the key file .*/dev/null' "$stage/said" || fail "$1 did not speak of the key file"
    grep -q ' policies$' "$stage/said" || fail "$1 did not count the policies"
    grep -q '^ "usher_join_request":{"size":36,' "$stage/said" || fail "$1 did not describe the structs"
}

# Warnings are an integrator's as well: none comes from our headers.
strict='-pedantic -Wall -Wextra -Wconversion -Werror'

# Compile consumer.c as C11 and as C++11 with what pkg-config says, and run both.
consume() # name, pkg-config's options, the compiler's options
{
    flags="$(pkg-config $2 --cflags --libs usher)" || fail "pkg-config $2 knows no usher"
    # shellcheck disable=SC2086 # flags are words
    must "$CC" -std=c11 $strict "$here/consumer/consumer.c" -o "$stage/$1_c" $3 $flags
    runs "$stage/$1_c"
    [ -n "$CXX" ] || return 0
    # shellcheck disable=SC2086
    must "$CXX" -std=c++11 $strict -x c++ "$here/consumer/consumer.c" -x none -o "$stage/$1_cxx" $3 $flags
    runs "$stage/$1_cxx"
}

# ---- what is exported -----------------------------------------------------------------------------------------------

the_library_exports_what_exports_txt_lists() # test
{
    must sh "$top/client-sdk/exports.sh" "$BUILD/client-sdk/libusher.so"
    [ "$(wc -l <"$stage/said")" -gt 50 ] || fail "the list is too short to be one"
    diff "$top/client-sdk/exports.txt" "$stage/said" ||
        fail "the lists differ; is it meant? cmake --build BUILD --target exports writes it anew"
}

the_static_library_shows_the_same_names() # test
{
    install_here
    nm -g --defined-only "$library/libusher.a" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort >"$stage/static"
    cut -d' ' -f1 "$top/client-sdk/exports.txt" | diff - "$stage/static" ||
        fail "libusher.a and exports.txt differ: an inner name can clash with an integrator's"
}

every_export_is_of_our_version_node() # test
{
    must sh "$top/client-sdk/exports.sh" "$BUILD/client-sdk/libusher.so"
    ! grep -v '^usher_[a-z0-9_]* USHER_0 T$' "$stage/said" || fail "these are not functions of ours under USHER_0"
    readelf -d "$BUILD/client-sdk/libusher.so" >"$stage/said" || fail "readelf failed"
    grep -q 'SONAME.*\[libusher\.so\.0\]' "$stage/said" || fail "the soname is another"
}

# ---- each way to build ----------------------------------------------------------------------------------------------

pkg_config_builds_with_the_shared_library() # test
{
    install_here
    LD_LIBRARY_PATH=$library
    export LD_LIBRARY_PATH
    consume shared '' ''
    readelf -d "$stage/shared_c" | grep -q 'NEEDED.*libusher\.so\.0' || fail "it was not linked to libusher.so.0"
    # What libusher needs for itself is no business of its users.
    ! readelf -d "$stage/shared_c" | grep -q 'NEEDED.*\(sodium\|xxhash\)' || fail "it was linked to libusher's own needs"
}

pkg_config_builds_a_static_program() # test
{
    install_here
    # getaddrinfo() warns that a static program still asks the system's resolver when it is given a host's name.
    consume whole --static '-static'
    ! readelf -d "$stage/whole_c" | grep -q NEEDED || fail "it is not static"
}

cmake_builds_with_both_libraries() # test
{
    install_here
    must "$CMAKE" -G Ninja -S "$here/consumer" -B "$stage/build" -DCMAKE_PREFIX_PATH="$prefix" \
        -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" -DCMAKE_C_FLAGS="-std=c11 $strict" \
        -DCMAKE_CXX_FLAGS="-std=c++11 $strict"
    must "$CMAKE" --build "$stage/build" -j 2
    programs='shared_c static_c'
    [ -z "$CXX" ] || programs="$programs shared_cxx static_cxx"
    for program in $programs; do
        runs "$stage/build/$program"
    done
    readelf -d "$stage/build/shared_c" | grep -q 'NEEDED.*libusher\.so\.0' || fail "shared_c lacks libusher.so.0"
    ! readelf -d "$stage/build/static_c" | grep -q 'NEEDED.*libusher' || fail "static_c needs libusher.so"
}

# What an integrator's own tests are built with: it stands beside the shared library and the static one, and its own copy
# of protocol/ is in nobody's way.
the_fake_house_is_built_into_an_integrators_test() # test
{
    install_here
    nm -g --defined-only "$library/libusher_fake.a" | awk 'NF == 3 && $3 !~ /^usher_fake_/' >"$stage/said"
    [ ! -s "$stage/said" ] || fail "libusher_fake.a shows inner names"
    LD_LIBRARY_PATH=$library
    export LD_LIBRARY_PATH
    # shellcheck disable=SC2046,SC2086 # flags are words
    must "$CC" -std=c11 $strict "$here/consumer/fake.c" -o "$stage/shared" $(pkg-config --cflags --libs usher-fake)
    # shellcheck disable=SC2046,SC2086
    must "$CC" -std=c11 -static $strict "$here/consumer/fake.c" -o "$stage/static" \
        $(pkg-config --static --cflags --libs usher-fake)
    must "$CMAKE" -G Ninja -S "$here/consumer" -B "$stage/build" -DCMAKE_PREFIX_PATH="$prefix" \
        -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX"
    must "$CMAKE" --build "$stage/build" -j 2 --target fake_c fake_static_c
    programs="$stage/shared $stage/static $stage/build/fake_c $stage/build/fake_static_c"
    if [ -n "$CXX" ]; then
        # shellcheck disable=SC2046,SC2086
        must "$CXX" -std=c++11 $strict -x c++ "$here/consumer/fake.c" -x none -o "$stage/shared_cxx" \
            $(pkg-config --cflags --libs usher-fake)
        programs="$programs $stage/shared_cxx"
    fi
    for program in $programs; do
        must "$program"
        grep -qx 'the server answered: OK, struck 1 times' "$stage/said" || fail "$program got another answer"
    done
}

# Packagers install into a folder that stands for the root of another system.
an_installation_below_destdir_can_be_built_with() # test
{
    DESTDIR=$stage/root "$CMAKE" --install "$BUILD" --prefix /opt/usher >"$stage/said" 2>&1 || fail "no installation"
    [ "$(ls "$stage/root")" = opt ] || fail "something went elsewhere: $(ls "$stage/root")"
    PKG_CONFIG_PATH=$(dirname "$(find "$stage/root" -name usher.pc)")
    LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
    export PKG_CONFIG_PATH LD_LIBRARY_PATH
    consume shared '' ''
}

# ---- Debian packages -------------------------------------------------------------------------------------------------

# What ./usher package does in a build of its own.
the_debian_packages_bring_what_a_consumer_needs() # test
{
    (cd "$BUILD" && "$(dirname "$CMAKE")/cpack" -G DEB -B "$stage/packages") >"$stage/said" 2>&1 || fail "cpack failed"
    [ "$(cd "$stage/packages" && ls ./*.deb | sed 's/_.*//' | tr '\n' ' ')" = './libusher-dev ./libusher0 ./usher ' ] ||
        fail "there are other packages: $(ls "$stage/packages")"
    for package in libusher0 libusher-dev; do
        must dpkg-deb -x "$stage/packages/$package"_*.deb "$stage/root"
    done
    PKG_CONFIG_PATH=$(dirname "$(find "$stage/root" -name usher.pc)")
    LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
    export PKG_CONFIG_PATH LD_LIBRARY_PATH
    consume shared '' ''
    needs=$(dpkg-deb -f "$stage/packages"/libusher0_*.deb Depends)
    for need in libsodium libxxhash libc6; do
        expr "$needs" : ".*$need" >/dev/null || fail "libusher0 depends on $needs, not on $need"
    done
    needs=$(dpkg-deb -f "$stage/packages"/libusher-dev_*.deb Depends)
    for need in 'libusher0 (= ' libsodium-dev libxxhash-dev; do
        expr "$needs" : ".*$need" >/dev/null || fail "libusher-dev depends on $needs, not on $need"
    done
    # The loader is told of a library that is new.
    dpkg-deb -I "$stage/packages"/libusher0_*.deb postinst | grep -q ldconfig || fail "ldconfig is not run"
    must dpkg-deb -x "$stage/packages"/usher_*.deb "$stage/root"
    must "$(find "$stage/root" -name usherd)" --version
}

# ---- a purchase -----------------------------------------------------------------------------------------------------

wait_for() # file
{
    tries=600
    until [ -s "$1" ]; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "$1 did not come"
        kill -0 "$server" 2>/dev/null || fail "usherd ended"
        sleep 0.05
    done
}

an_installed_program_buys_a_ticket_from_the_installed_server() # test
{
    install_here
    # shellcheck disable=SC2046 # flags are words
    must "$CC" -std=c11 "$top/client-sdk/examples/buy_ticket.c" -o "$stage/buy_ticket" $(pkg-config --cflags --libs usher)
    "$prefix/bin/usherd" --data "$stage/data" --listen 127.0.0.1:0 --port-file "$stage/port" >"$stage/log" 2>&1 &
    server=$!
    wait_for "$stage/port"
    address=127.0.0.1:$(cat "$stage/port")
    must "$prefix/bin/usherctl" --server "$address" --key "$stage/data/admin.key" catalogue load "$top/samples/season.json"
    must env LD_LIBRARY_PATH="$library" "$stage/buy_ticket" "$address" "$stage/data/admin.key"
    grep -q '^ticket of payment 1: ' "$stage/said" || fail "there is no ticket"
    kill -TERM "$server"
    wait "$server" || fail "usherd ended with $?"
    server=''
}

"$name"
