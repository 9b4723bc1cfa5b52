// Package artefacts tests what `make release` built, as users get it: archives, packages, image, chart, checksums and bills of
// materials are taken from dist/, installed or run, and observe a real Redis.
//
// Packages are installed in an overlay of this machine's root, whose upper layer is thrown away; the image is run by runc with what
// the DaemonSet of deploy/kubernetes asks for. The tests need root, lintian, rpm, runc and redis-server (test/install.sh release);
// they skip what is missing, unless REDIS_OBSERVER_TEST_REQUIRE is set. They use loopback ports 24130 to 24139.
package artefacts
