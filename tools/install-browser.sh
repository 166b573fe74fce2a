#!/bin/sh
# Installs Debian's Chromium for the browser test where that is possible. Where it is not, says why and
# fails; the browser test then skips itself with the same reason.
set -eu
for browser in chromium chromium-browser google-chrome; do
    if command -v "$browser" >/dev/null 2>&1; then exit 0; fi
done
give_up() {
    echo "The browser test will be skipped: no Chromium, and $1." >&2
    exit 1
}
command -v apt-get >/dev/null 2>&1 || give_up "no apt-get to install it with"
[ "$(id -u)" = 0 ] || give_up "only root may install it (apt-get install chromium)"
echo "Installing Chromium for the browser test ..."
if ! { DEBIAN_FRONTEND=noninteractive apt-get update -q && DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends chromium fonts-noto-cjk; } >/dev/null 2>&1; then
    give_up "apt-get could not install it"
fi
