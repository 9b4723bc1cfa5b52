// Package owner labels connections by who has them at the observed end: it turns the cgroup and the
// executable that the probes report into values of labels, and the name of a connection together
// with these into an identity.
//
// A connection is labelled when it opens or is listed, and again when its first call shows its
// executable. The identity stands for the values from then on, so a command costs nothing more. A
// value that cannot be found is "unknown", and counted; one that does not apply, such as the
// container of a program outside of containers, is empty.
//
// A Filter decides by the same whose connections are left out.
//
// The number of sets is bounded. Beyond it all labels but the name are "other". A set without a
// connection for some time is released with its series.
package owner
