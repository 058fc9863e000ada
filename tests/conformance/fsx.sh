# fsx: random changes of one file, each read compared with what was written.

prepare_fsx() {
    need_crate fsx 0.3.2
}

# A run of so many operations, of the kinds that are named.
exercise() { # name, operations, kinds
    local name=$1 operations=$2
    shift 2
    { echo "nomsyncafterwrite = true"; echo "[weights]"; printf '%s\n' "$@"; } >"$work/$name.toml"
    try "$name" 180 "$tools/bin/fsx" -S 1 -N "$operations" -f "$work/$name.toml" \
        -P "$tools/logs" "$bed/$name.bin"
}

# What is there after the run is there when it is fetched from the service.
same_after_a_remount() { # name
    local before after
    before=$(as_root md5sum <"$bed/$1.bin")
    program umount "$bed"
    as_root rm -rf "$work/cache/bedfs"
    program mount --qps unlimited --allow-other "$bed"
    after=$(as_root md5sum <"$bed/$1.bin")
    try "$1-after-a-remount" 1 [ "$before" = "$after" ]
}

run_fsx() {
    local calls=('read = 10' 'write = 10' 'truncate = 5' 'fdatasync = 0.1' 'fsync = 0.1'
        'posix_fallocate = 1' 'punch_hole = 1' 'sendfile = 2' 'posix_fadvise = 2'
        'copy_file_range = 2')
    bed_up -- --upload background
    exercise calls 100000 "${calls[@]}" 'close_open = 0.2' 'mapread = 0' 'mapwrite = 0'
    same_after_a_remount calls
    bed_down
    bed_up -- --upload background
    exercise mapped 100000 "${calls[@]}" 'close_open = 0.2' 'mapread = 10' 'mapwrite = 10' \
        'invalidate = 1'
    same_after_a_remount mapped
    bed_down
    bed_up --faults 2 -- --upload close
    # Each close of what was written is an upload, of some ten requests.
    exercise faults 3000 "${calls[@]}" 'close_open = 3' 'mapread = 5' 'mapwrite = 5'
    same_after_a_remount faults
    bed_down
}
