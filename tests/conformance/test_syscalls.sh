# test_syscalls: what libfuse tries its own file systems with.

prepare_test_syscalls() {
    need gcc:cc
    need_source fuse3 "$tools/fuse3"
    : >"$tools/fuse_config.h"
    cc -w -D_FILE_OFFSET_BITS=64 -DHAVE_COPY_FILE_RANGE -I "$tools" \
        -o "$tools/bin/test_syscalls" "$tools/fuse3/test/test_syscalls.c"
}

run_test_syscalls() {
    bed_up -- --upload background
    as_root timeout --kill-after=10 60 "$tools/bin/test_syscalls" "$bed" >"$log" 2>&1 || true
    # A line is: 7 [name of the test] OK, or the same with what is wrong.
    sed -n -E 's/^ *[0-9]+ (\[.*\])( .*)?$/\1\t\2/p' "$log" | tr ' ' '_' |
        awk -F '\t' '{ if ($2 == "_OK") ok[$1] = 1; else bad[$1] = 1 }
            END { for (name in ok) if (!(name in bad)) print "pass " name
                  for (name in bad) print "fail " name }' >"$results"
    bed_down
}
