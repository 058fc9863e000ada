# stress-ng: what its class of file systems does to files, with its own checks.

prepare_stress-ng() {
    need stress-ng:stress-ng
}

run_stress-ng() {
    bed_up -- --upload background
    # These reach beyond the folder that they are given.
    local of_the_machine=' bind-mount binderfs fanotify io '
    # A folder is a call to the service: not thousands of them.
    local few=(--chdir-dirs 64 --dentries 64 --dirdeep-dirs 2 --dirdeep-inodes 64)
    local stressors stressor code
    stressors=$(stress-ng --class 'filesystem?' | sed 's/.*stressors: //')
    for stressor in $stressors; do
        code=3
        case $of_the_machine in
        *" $stressor "*) ;;
        *)
            code=0
            as_root timeout --kill-after=5 20 stress-ng "--$stressor" 1 "--$stressor-ops" 20 \
                --timeout 1 --verify --temp-path "$bed" "${few[@]}" >>"$log" 2>&1 || code=$?
            ;;
        esac
        case $code in
        0) echo "pass $stressor" ;;
        # It says that it lacks something.
        3 | 4) echo "skip $stressor" ;;
        *) echo "fail $stressor" ;;
        esac >>"$results"
    done
    bed_down
}
