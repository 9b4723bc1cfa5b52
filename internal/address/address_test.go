package address

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.10:6379":               "10.0.0.10:6379",
		"10.2.0.0/16:6379":             "10.2.0.0/16:6379",
		"0.0.0.0/0:6379":               "0.0.0.0/0:6379",
		"[fd00::7]:6379":               "[fd00::7]:6379",
		"[fd00::/64]:6379":             "[fd00::/64]:6379",
		"[::ffff:10.0.0.10]:6379":      "10.0.0.10:6379",
		"[::ffff:10.0.0.0/104]:6379":   "10.0.0.0/8:6379",
		"*:6390":                       "*:6390",
		"Sessions.Example.com.:6379":   "sessions.example.com:6379",
		"redis_1:65535":                "redis_1:65535",
		"redis-0.redis.default.svc:80": "redis-0.redis.default.svc:80",
		"unix:/run/redis/redis.sock":   "unix:/run/redis/redis.sock",
		"unix:@redis":                  "unix:@redis",
		"unix:/var/run/redis.sock":     "unix:/run/redis.sock",
		"unix:6379":                    "unix:6379", // a host
		"service://shop/sessions:6379": "service://shop/sessions:6379",
		"srv://_Redis._tcp.shop.test.": "srv://_redis._tcp.shop.test",
		"10.0.0.5:7000-7005":           "10.0.0.5:7000-7005",
		"*:1-65535":                    "*:1-65535",
		"[fd00::/64]:7000-7001":        "[fd00::/64]:7000-7001",
		"sessions:7000-7000":           "sessions:7000",

		"unix:/" + strings.Repeat("p", 106): "unix:/" + strings.Repeat("p", 106),
		"unix:@" + strings.Repeat("n", 107): "unix:@" + strings.Repeat("n", 107),
	} {
		address, err := Parse(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, address.String())
		again, err := Parse(address.String())
		require.NoError(t, err)
		assert.Equal(t, address, again)
	}
}

func TestParseInvalid(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "has no port",
		"sessions":                "has no port",
		"sessions:":               "has no valid port",
		"sessions:0":              "has no valid port",
		"sessions:65536":          "has no valid port",
		"sessions:redis":          "has no valid port",
		":6379":                   "has no valid host",
		"-a:6379":                 "has no valid host",
		"a..b:6379":               "has no valid host",
		"a b:6379":                "has no valid host",
		"*.example.com:6379":      "has no valid host",
		"10.0.0.300:6379":         "is not an IP address",
		"10.0.0:6379":             "is not an IP address",
		"10.2.0.0/33:6379":        "is not a network",
		"10.2.0.1/16:6379":        "has host bits set (write 10.2.0.0/16)",
		"fd00::7:6379":            "is an IPv6 address without brackets",
		"[fd00::7:6379":           "has misplaced brackets",
		"[10.0.0.1]:6379":         "has misplaced brackets",
		"[fd00::x]:6379":          "is not an IP address",
		"[fe80::1%eth0]:6379":     "has a zone",
		"redis://10.0.0.1:6379":   "is a URL",
		"10.0.0.1:6379,10.0.0.2":  "has no valid port",
		"a:7005-7000":             "has a range that ends before it begins (write 7000-7005)",
		"a:0-1":                   "has no valid port",
		"a:7000-":                 "has no valid port",
		"a:7000-7001-7002":        "has no valid port",
		"a:7000-65536":            "has no valid port",
		"service://sessions:6379": "has no valid namespace and name",
		"service://a/b/c:6379":    "has no valid namespace and name",
		"service://A/b:6379":      "has no valid namespace and name",
		"service://a/b.c:6379":    "has no valid namespace and name",
		"service://a/b":           "has no valid port",
		"service://a/b:7000-7001": "has no valid port",
		"srv://":                  "has no valid name (write srv://_redis._tcp.example.com; the ports are those of the records)",
		"srv://_redis._tcp.a:1":   "has a port (write srv://_redis._tcp.example.com; the ports are those of the records)",
		"srv://10.0.0.1":          "has no valid name",
		"srv://a/b":               "has no valid name",
		"unix:":                   "has no path",
		"unix:@":                  "has no path",
		"unix:redis.sock":         "is a relative path",
		"unix:./redis.sock":       "is a relative path",
		"unix:///run/redis.sock":  "is a URL (write unix:/run/redis.sock)",
		"unix:/run/redis/":        "is a directory",
		"unix:/":                  "is a directory",
		"unix:/run/\x00":          "contains a zero byte",

		"unix:/" + strings.Repeat("p", 107): "is longer than the path of a socket can be (allowed up to 107 bytes)",
		"unix:@" + strings.Repeat("n", 108): "is longer than the path of a socket can be",
	} {
		_, err := Parse(text)
		require.Error(t, err, text)
		assert.Contains(t, err.Error(), want, text)
	}
}

func TestPorts(t *testing.T) {
	p := Ports{7000, 7005}
	assert.True(t, p.Contains(7000) && p.Contains(7005))
	assert.False(t, p.Contains(6999) || p.Contains(7006))
	for other, crosses := range map[Ports]bool{
		p: false, {6990, 6999}: false, {7006, 7010}: false, {7001, 7004}: false, {6000, 8000}: false, {7000, 7002}: false,
		{7003, 7005}: false, {6999, 7000}: true, {7005, 7006}: true, {7003, 7008}: true,
	} {
		assert.Equal(t, crosses, p.Crosses(other), other)
		assert.Equal(t, crosses, other.Crosses(p), other)
	}
}
