#!/bin/sh
# Sees that there is a Chromium for the tests of the pages; installs Debian's where that is possible.
set -eu
if [ -n "${LIITY_TEST_WITHOUT_BROWSER:-}" ] || command -v chromium chromium-browser google-chrome > /dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "Installing Chromium for the tests of the pages"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium > /dev/null && exit 0
fi
echo "The tests of the pages need Chromium: install it (Debian: apt-get install chromium), or set LIITY_TEST_WITHOUT_BROWSER=1" >&2
exit 1
