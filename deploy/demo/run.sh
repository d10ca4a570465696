#!/bin/sh
# Starts the sample shop and a gateway in front of it on a fresh embedded store, says
# what to try, and stops both on Ctrl-C. Run by `make run` from the top of the tree.
set -eu
dir=$(mktemp -d)
cp deploy/demo/penstock.yaml "$dir/"

stop() {
	trap - EXIT INT TERM
	kill $gateway $shop $tail 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$dir"
}
gateway= shop= tail=
trap stop EXIT
trap 'stop; exit 0' INT TERM

started() { # FILE WORDS PID: waits until the words stand in the file
	until grep -q "$2" "$1" 2>/dev/null; do
		kill -0 "$3" 2>/dev/null || { cat "$1" >&2; echo "$2: did not start" >&2; exit 1; }
		sleep 0.1
	done
}

bin/sampleshop -listen 127.0.0.1:8081 -stock 1000 >"$dir/shop.log" 2>&1 &
shop=$!
started "$dir/shop.log" "listening on" "$shop"
bin/penstock run -config "$dir/penstock.yaml" >"$dir/gateway.log" 2>&1 &
gateway=$!
started "$dir/gateway.log" '"listening"' "$gateway"

cat <<'EOF'

  The shop through the gateway   http://127.0.0.1:8080/
  The shop on its own            http://127.0.0.1:8081/
  Metrics                        http://127.0.0.1:9900/metrics

  Buy one:   curl -i -X POST http://127.0.0.1:8080/buy.php
  A crowd:   for i in $(seq 60); do curl -s -o /dev/null -w '%{http_code} ' -X POST http://127.0.0.1:8080/buy.php & done; wait
  What the shop sold:   curl http://127.0.0.1:8081/orders

  20 units are for sale. Ctrl-C stops both. The gateway's log:

EOF
tail -n +1 -f "$dir/gateway.log" &
tail=$!
wait "$gateway"
