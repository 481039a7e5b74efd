#!/bin/sh
# bench/http/run.sh: what the bridge answers in a second beside what nginx does with a static file of the same size, in one
# run on one machine: the ceiling of HTTP here. ./usher bench --http calls it.
#
#   run.sh BUILD [SECONDS [CONNECTIONS]]     BUILD has usherd, usherctl and usher-http; 4 s and 50 by itself
#
# Three requests: /livez, which asks no server; the free seats of a date of 50; a balance. Each is asked by wrk with one thread, of
# usher-http (one thread) with one usherd behind it, and of nginx with one worker and a file that has the very bytes of that answer.
# usher-http, usherd and nginx log no requests. Everything listens on loopback and ends with the run.
set -u

build=${1:?usage: run.sh BUILD [SECONDS [CONNECTIONS]]}
seconds=${2:-4}
connections=${3:-50}
top=$(CDPATH='' cd -P -- "$(dirname -- "$0")/../.." && pwd) || exit 1
stage=$(mktemp -d) || exit 1
started=''
# shellcheck disable=SC2086 # one word for each process
trap 'kill $started 2>/dev/null; wait 2>/dev/null; rm -rf "$stage"' EXIT
trap 'exit 130' INT TERM HUP

fail()
{
    echo "bench --http: $*" >&2
    exit 1
}

wait_for() # file, process
{
    while [ ! -s "$1" ]; do
        kill -0 "$2" 2>/dev/null || fail "a server did not start; see above"
        sleep 0.05
    done
}

start_usher()
{
    "$build/server/usherd" --data "$stage/data" --listen 127.0.0.1:0 --port-file "$stage/port" --quiet &
    started="$started $!"
    wait_for "$stage/port" $!
    server=127.0.0.1:$(cat "$stage/port")
    "$build/apps/usherctl/usherctl" --server "$server" --key "$stage/data/admin.key" catalogue load \
        "$top/samples/season.json" >"$stage/loaded" 2>&1 || fail "$(cat "$stage/loaded")"
    "$build/apps/http-bridge/usher-http" --server "$server" --key "$stage/data/admin.key" --listen 127.0.0.1:0 \
        --operations 127.0.0.1:0 --port-file "$stage/http" --access-log off --quiet &
    started="$started $!"
    wait_for "$stage/http" $!
    api=http://127.0.0.1:$(sed -n 1p "$stage/http")
    operations=http://127.0.0.1:$(sed -n 2p "$stage/http")
    until curl -sf "$operations/readyz" >"$stage/ready"; do
        sleep 0.05
    done
}

# nginx takes no port 0: try until one is free.
start_nginx()
{
    mkdir -p "$stage/www" "$stage/nginx"
    port=$((20000 + $$ % 10000))
    while :; do
        cat >"$stage/nginx.conf" <<text
daemon off; worker_processes 1; pid $stage/nginx.pid; error_log $stage/nginx/error.log crit;
events { worker_connections 1024; }
http {
    access_log off; keepalive_requests 1000000000; default_type application/json; open_file_cache max=16;
    client_body_temp_path $stage/nginx/b; proxy_temp_path $stage/nginx/p; fastcgi_temp_path $stage/nginx/f;
    uwsgi_temp_path $stage/nginx/u; scgi_temp_path $stage/nginx/s;
    server { listen 127.0.0.1:$port; root $stage/www; }
}
text
        chmod 755 "$stage" "$stage/www"
        nginx -c "$stage/nginx.conf" -e "$stage/nginx/error.log" >"$stage/nginx.said" 2>&1 &
        nginx=$!
        for part in 1 2 3 4 5 6 7 8 9 10; do
            sleep 0.1
            [ -s "$stage/nginx.pid" ] && { started="$started $nginx"; return; }
            kill -0 $nginx 2>/dev/null || break
        done
        grep -q 'Address already in use' "$stage/nginx.said" "$stage/nginx/error.log" ||
            fail "nginx does not start, part $part: $(cat "$stage/nginx.said")"
        port=$((port + 1))
    done
}

# One load; prints requests a second and the latency that 99 of 100 stay below.
load() # url, authorization
{
    wrk -t 1 -c "$connections" -d "${seconds}s" --latency -H "Authorization: $2" "$1" >"$stage/wrk" 2>&1 ||
        fail "$(cat "$stage/wrk")"
    ! grep -q 'Non-2xx\|Socket errors' "$stage/wrk" || fail "$1: $(grep 'Non-2xx\|Socket errors' "$stage/wrk")"
    awk '$1 == "Requests/sec:" { rate = $2 } $1 == "99%" { late = $2 } END { printf "%.0f %s\n", rate, late }' "$stage/wrk"
}

compare() # name, url
{
    curl -sf -H "Authorization: $token" "$2" >"$stage/www/$1" || fail "$2 is not answered"
    size=$(wc -c <"$stage/www/$1")
    ours=$(load "$2" "$token")
    theirs=$(load "http://127.0.0.1:$port/$1" "$token")
    echo "$1 $size $ours $theirs" | awk '{ printf "%-10s %5d  %9d  %9s  %9d  %9s  %5.2f\n", $1, $2, $3, $4, $5, $6, $3 / $5 }'
}

start_usher
start_nginx
token=$(curl -sf "$api/api/concert/token/1" | sed 's/.*"token":"\([^"]*\)".*/\1/')
[ -n "$token" ] || fail "no token was given"
echo "$connections connections, $seconds s each, one thread of wrk; usher-http and nginx have one thread each"
printf '%-10s %5s  %9s  %9s  %9s  %9s  %5s\n' request bytes usher/s '99% in' nginx/s '99% in' ratio
compare livez "$operations/livez"
compare seats "$api/api/concert/seat?concertId=1&dateId=1"
compare balance "$api/api/concert/balance?userId=1"
