# fio: random writes by several engines, all of which are read back and hold their checksums.

prepare_fio() {
    need fio:fio
}

# One engine writes, and reads what it wrote. Arguments: its name, more of fio.
verify() {
    local engine=$1
    shift
    try "$engine" 60 fio --name="$engine" --directory="$bed" --ioengine="$engine" \
        --rw=randwrite --bsrange=4k-128k --size=24m --numjobs=2 --verify=crc32c --verify_fatal=1 \
        --verify_state_save=0 --end_fsync=1 --group_reporting --output-format=normal "$@"
}

run_fio() {
    bed_up -- --upload background
    verify psync
    verify mmap
    verify libaio --direct=1 --iodepth=8
    bed_down
}
