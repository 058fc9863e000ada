# dbench: what office programs do to a file server.

prepare_dbench() {
    need dbench:dbench
}

run_dbench() {
    bed_up -- --upload background
    try dbench 60 dbench -D "$bed" -t 8 -c /usr/share/dbench/client.txt 2
    bed_down
}
