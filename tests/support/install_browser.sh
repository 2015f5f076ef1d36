#!/bin/sh
# Sees that there is a Chromium for the tests of the pages; installs Debian's where that is possible.
set -eu

found() {
    for name in "$@"; do
        command -v "$name" > /dev/null && return 0
    done
    return 1
}

# Gives up where no package server answers.
installed() {
    [ "$(id -u)" = 0 ] && found apt-get || return 1
    echo "Installing $* for the tests of the pages"
    export DEBIAN_FRONTEND=noninteractive
    { timeout 60 apt-get update -qq && timeout 600 apt-get install -qq -y --no-install-recommends "$@"; } > /dev/null
}

if [ -n "${LIITY_TEST_WITHOUT_BROWSER:-}" ]; then
    exit 0
fi
# The shell opens pages in two thirds of the time; the whole browser keeps what a reader's would.
if found chromium chromium-browser google-chrome; then
    found chromium-headless-shell || installed chromium-headless-shell || echo "Going on without chromium-headless-shell"
    exit 0
fi
installed chromium chromium-headless-shell || installed chromium && exit 0
echo "The tests of the pages need Chromium: install it (Debian: apt-get install chromium), or set LIITY_TEST_WITHOUT_BROWSER=1" >&2
exit 1
