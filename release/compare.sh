#!/usr/bin/env bash
# Builds the release of the current commit again, from a clone in another folder, and compares it with dist/.
# COLD=1 compiles everything again, too, instead of taking it from Go's cache.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder" && rm -rf "$folder"' EXIT
[ -z "${COLD:-}" ] || export GOCACHE=$folder/cache
git clone --quiet --no-hardlinks . "$folder/clone"
(cd "$folder/clone/release" && go run . -output "$folder/dist")
diff dist/SHA256SUMS "$folder/dist/SHA256SUMS"
(cd "$folder/dist" && sha256sum --quiet --check SHA256SUMS)
echo "both builds have the same bytes"
