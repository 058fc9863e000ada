# postmark: a mail server, which makes, appends to, reads and removes small files.

prepare_postmark() {
    need postmark:postmark
}

run_postmark() {
    bed_up -- --upload background
    printf 'set location %s\nset number 100\nset transactions 300\nset subdirectories 5\nrun\n' \
        "$bed" >"$work/postmark.cfg"
    # It returns 0 whatever happens, and tells.
    try postmark 60 bash -c \
        'said=$(postmark "$1" 2>&1); echo "$said"; [[ $said == *"of transactions"* && $said != *Error* ]]' \
        -- "$work/postmark.cfg"
    bed_down
}
