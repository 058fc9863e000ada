# bonnie++: one large file, and many small ones made, looked at and removed.

prepare_bonnie++() {
    need bonnie++:bonnie++
}

run_bonnie++() {
    bed_up -- --upload background
    try bonnie++ 400 bonnie++ -d "$bed" -s 32 -r 16 -n 1:0:0:4 -u root -q
    bed_down
}
