package capturetest

import "github.com/redis-observer/redis-observer/test/kit/resp"

// Command returns a request in its multibulk form.
func Command(words ...string) string { return string(resp.Request(words...)) }
