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
