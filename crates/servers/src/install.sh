# Installs Debian packages without letting their servers run, now or at the next boot.
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM HUP
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi
install() {
  apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@"
}
# The lists of a fresh machine may be empty or old.
install "$@" || { apt-get -o DPkg::Lock::Timeout=300 update -qq && install "$@"; }
if [ -d /run/systemd/system ]; then
  for package in "$@"; do
    systemctl disable --quiet "$package" 2>/dev/null || true
  done
fi
