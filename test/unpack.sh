#!/bin/sh
# Unpacks a program of Debian with libraries that it needs into .cache/PROGRAM, without installing it, unless the machine has it. Of what
# it depends on, a machine with apt-get has the rest.
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
	echo "unpack.sh: missing: $program (tests that need it are skipped; remedy$1)" >&2
	exit 1
}
command -v apt-get >/dev/null || missing ": install it"
mkdir -p "$root"
cd "$root"
if [ "$(id -u)" = 0 ]; then apt-get update -qq; fi
apt-get download -qq "$@" || missing ", as root: apt-get update && apt-get install $program"
for package in ./*.deb; do
	dpkg -x "$package" .
done
rm ./*.deb
