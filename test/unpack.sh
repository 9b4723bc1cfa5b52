#!/bin/sh
# Unpacks a Debian program and some of its libraries into .cache/PROGRAM, without installing them, unless
# the machine has the program. A machine with apt-get has its other libraries.
#
# usage: unpack.sh PROGRAM FOLDER PACKAGE...    FOLDER is the program's in its package, for example usr/bin
set -eu
cd "$(dirname "$0")/.."
program=$1 folder=$2
shift 2
root=$PWD/.cache/$program
[ -x "$root/$folder/$program" ] && exit 0
if command -v "$program" >/dev/null; then exit 0; fi
missing() {
	echo "unpack.sh: missing: $program (tests that need it are skipped; $1)" >&2
	exit 1
}
command -v apt-get >/dev/null || missing "install it"
mkdir -p "$root"
cd "$root"
if [ "$(id -u)" = 0 ]; then apt-get update -qq; fi
apt-get download -qq "$@" || missing "as root: apt-get update && apt-get install $program"
for package in ./*.deb; do
	dpkg -x "$package" .
done
rm ./*.deb
