# shellcheck shell=sh disable=SC2154 # the scripts set cache
# Sourced by scripts that unpack packages of Debian suites without installing them.

# apt_for SUITE ARCHITECTURE ARGUMENTS... runs apt-get on the package lists of that suite alone, kept in $cache. With
# archive_type=deb-src they are those of sources.
apt_for() {
	suite=$1 architecture=$2
	shift 2
	apt="$cache/apt/$suite-$architecture${archive_type:+-$archive_type}"
	mkdir -p "$apt/lists/partial" "$apt/archives/partial"
	echo "${archive_type:-deb} [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" >"$apt/sources.list"
	: >"$apt/status"
	apt-get -q -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
		-o "Dir::State::Lists=$apt/lists" -o "Dir::State::Status=$apt/status" -o "Dir::Cache=$apt" \
		-o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture" -o APT::Sandbox::User=root \
		-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o Acquire::Retries=5 "$@"
}

# unpack_into FOLDER ARCHITECTURE SUITE PATTERN PACKAGE... unpacks the packages, and of those that they depend on the ones whose
# names match. It fails without fresh lists: old ones, or none, would leave a folder without the packages.
unpack_into() {
	folder=$1 architecture=$2 suite=$3 pattern=$4
	shift 4
	apt_for "$suite" "$architecture" -o APT::Update::Error-Mode=any update >&2
	addresses=$(apt_for "$suite" "$architecture" install --print-uris --yes --no-install-recommends "$@" | sed -n "s/^'\([^']*\)' .*/\1/p" |
		grep -E "/($pattern|$(echo "$*" | tr ' ' '|'))_[^/]*\.deb\$") || { echo "$suite has no packages $*" >&2 && return 1; }
	for address in $addresses; do
		echo "fetching ${address##*/}" >&2
		/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$address" "$folder/package.deb" >/dev/null
		dpkg-deb -x "$folder/package.deb" "$folder"
		rm "$folder/package.deb"
	done
}
