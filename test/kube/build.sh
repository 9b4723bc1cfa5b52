#!/bin/sh
# Builds etcd and kube-apiserver, from the modules that are fixed in test/kube/servers, into .cache/kube. Kept for later
# runs: the first build takes minutes, and 1 GB of Go's module cache.
set -eu
cd "$(dirname "$0")/servers"
folder=$PWD/../../../.cache/kube
cmp -s go.mod "$folder/go.mod" && exit 0
mkdir -p "$folder"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
GOFLAGS='-trimpath -pgo=off' CGO_ENABLED=0
export GOFLAGS CGO_ENABLED
go build -ldflags '-s -w' -o "$folder/etcd" go.etcd.io/etcd/server/v3
go build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$folder/kube-apiserver" k8s.io/kubernetes/cmd/kube-apiserver
cp go.mod "$folder/"
