# What the scripts beside this file share: the set-up of a bare Debian with Rust. To be sourced, by
# bash, from the project's folder.

# What talks to this machine itself goes by no proxy.
export NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}"
export no_proxy="$NO_PROXY"

# Tells what comes next.
say() { printf '\n==> %s\n' "$*"; }

# Tells what is wrong, and ends the script.
fail() {
    told=yes
    printf '\n%s: FAILED: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Installs the Debian packages whose programs are missing. Each argument is package:program.
need() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair#*:}" >/dev/null 2>&1 || missing+=("${pair%%:*}")
    done
    # A C compiler comes without the C library's files unless they are asked for.
    case " ${missing[*]-} " in *" gcc "*) missing+=(libc6-dev) ;; esac
    if [ "${#missing[@]}" -gt 0 ]; then
        install_packages "${missing[@]}"
    fi
}

# Installs Debian packages. What is a service is not started: the two variables say so to systemd and to
# what was there before it.
install_packages() {
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 ||
            fail "these Debian packages are missing, and there is no sudo to install them: $*"
        root=(sudo)
    fi
    command -v apt-get >/dev/null 2>&1 ||
        fail "these packages are missing, and there is no apt-get to install them: $*"
    say "Installing Debian packages: $*"
    "${root[@]}" apt-get -q update </dev/null
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 RUNLEVEL=1 \
        apt-get -q -y --no-install-recommends install "$@" </dev/null
}

# Rust itself is not installed here: how it comes to a machine is its owner's choice.
need_rust() {
    command -v cargo >/dev/null 2>&1 ||
        fail "Rust is missing (cargo is not in PATH); https://www.rust-lang.org/tools/install tells how to get it"
    need gcc:cc
}

# FUSE is the kernel's part, which no package brings.
need_fuse() {
    need fuse3:fusermount3
    [ -c /dev/fuse ] ||
        fail "/dev/fuse is missing, so nothing can be mounted. Try: modprobe fuse. A container wants --device /dev/fuse --cap-add SYS_ADMIN"
    [ -r /dev/fuse ] && [ -w /dev/fuse ] ||
        fail "/dev/fuse may not be used by $(id -un), so nothing can be mounted. Try: sudo chmod 666 /dev/fuse"
}

# Builds the program, and sets `bedfs` to its path. `BUILD_TOO` names what else is built: the tests want
# more of some crates, so that who runs them too would build the program twice.
build() {
    cargo build --release --locked --workspace --bins ${BUILD_TOO-}
    local target
    target=$(cargo metadata --format-version 1 --no-deps --locked |
        sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    bedfs="$target/release/bedfs"
    [ -x "$bedfs" ] || fail "the build left no program at $bedfs"
}

# Has the program write what is installed beside it, into a folder: manual pages and completions.
write_pages() { # the folder
    mkdir -p "$1"
    "$bedfs" man >"$1/bedfs.1"
    "$bedfs" man mount.bedfs >"$1/mount.bedfs.8"
    "$bedfs" completions bash >"$1/bedfs"
    "$bedfs" completions zsh >"$1/_bedfs"
    "$bedfs" completions fish >"$1/bedfs.fish"
}
