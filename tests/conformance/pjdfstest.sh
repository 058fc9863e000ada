# pjdfstest: what POSIX says of system calls on files, some 400 tests.

prepare_pjdfstest() {
    [ -e /usr/include/sys/acl.h ] || install_packages libacl1-dev
    need acl:setfacl
    need_crate pjdfstest 0.2.2
}

run_pjdfstest() {
    bed_up -- --upload background
    # It changes to these users, which each Debian has.
    mkdir "$work/elsewhere"
    cat >"$work/pjdfstest.toml" <<END
[features]
secondary_fs = "$work/elsewhere"
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.01
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
END
    as_root env NO_COLOR=1 timeout --kill-after=10 120 "$tools/bin/pjdfstest" \
        -c "$work/pjdfstest.toml" -p "$bed" >"$log" 2>&1 || true
    sed -n -E -e 's/^([a-z0-9_:]+) +ok$/pass \1/p' -e 's/^([a-z0-9_:]+) +FAILED$/fail \1/p' \
        -e 's/^([a-z0-9_:]+) +skipped$/skip \1/p' "$log" >"$results"
    grep -q '^Summary' "$log" || echo "fail the-end" >>"$results"
    bed_down
}
