package parser

import "testing"

var validInlines = []struct {
	name, wire string
	want       []string
}{
	{"carriage return", "PING\r\n", []string{`1 "PING" inline`}},
	{"bare newline", "PING\n", []string{`1 "PING" inline`}},
	{"arguments and blanks", " \tSET  key\tvalue \r\n", []string{`3 "SET" "key" "value" inline`}},
	{"four arguments", "SET key value NX\n", []string{`4 "SET" "key" "value" inline`}},
	{"carriage return is a blank", "GET\rkey\r\r\n", []string{`2 "GET" "key" inline`}},
	{"other blanks only between", "\v\fGET \vk\vx\f\n", []string{`2 "GET" "k\vx\f" inline`}},
	{"double quotes", `SET "a b" "c"` + "\r\n", []string{`3 "SET" "a b" "c" inline`}},
	{"single quotes", `SET 'a b' 'c"'` + "\r\n", []string{`3 "SET" "a b" "c\"" inline`}},
	{"empty quotes", `SET "" ''` + "\n", []string{`3 "SET" "" "" inline`}},
	{"only an empty argument", `""` + "\n", []string{`1 "" inline`}},
	{"quotes within", `foo"b r" x'y'` + "\n", []string{`2 "foob r" "xy" inline`}},
	{"escapes", `ECHO "\n\r\t\b\a\\\"\q"` + "\n", []string{`2 "ECHO" "\n\r\t\b\a\\\"q" inline`}},
	{"hexadecimal", `ECHO "\x20\x4A\xfF\x00"` + "\n", []string{`2 "ECHO" " J\xff\x00" inline`}},
	{"not hexadecimal", `ECHO "\xg1\x1g\x" "\x1"` + "\n", []string{`3 "ECHO" "xg1x1gx" "x1" inline`}},
	{"half hexadecimal", `ECHO "\x" "\x1" "\x1\n"` + "\n", []string{`4 "ECHO" "x" "x1" inline`}},
	{"hexadecimal after half", `ECHO "\x\x41" "\x1\x41"` + "\n", []string{`3 "ECHO" "xA" "x1A" inline`}},
	{"single escapes", `ECHO 'a\'b' 'a\nb' '\\a'` + "\n", []string{`4 "ECHO" "a'b" "a\\nb" inline`}},
	{"backslashes before an escaped quote", `'\\' x'` + "\n", []string{`1 "\\' x" inline`}},
	{"backslash outside quotes", `a\nb \"` + "x\" c\n", []string{`3 "a\\nb" "\\x" "c" inline`}},
	{"length then name", "$4\r\nPING\r\n", []string{`1 "$4" inline`, `1 "PING" inline`}},
	{"HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", []string{`3 "GET" "/" "HTTP/1.1" inline`, `2 "Host:" "a" inline`}},
	{"block", "XREAD block 0 STREAMS s 0\r\n", []string{`6 "XREAD" "block" "0" inline block`}},
	{"block escaped", "XREAD a b c \"BLOC\\x4b\"\n", []string{`5 "XREAD" "a" "b" inline block`}},
	{"cut", "ECHO " + long + " x\n", []string{`3 "ECHO" "` + long[:64] + `" "x" inline`}},
	{"NUL hides the end", "PING\x00\r\nPING\r\n", nil},
	{"TLS", "\x16\x03\x01\x02\x00\x01\n", nil},
	{"text behind quotes", `SET "a"b 'c'd` + "\n", []string{`3 "SET" "ab" "cd" inline`}},
	{"quotes behind quotes", `SET "a"'b'` + "\n", []string{`2 "SET" "ab" inline`}},
	{"unfinished", "PING", nil},
	{"unfinished quotes", `PING "a`, nil},
}

func TestInlineValid(t *testing.T) {
	for _, test := range validInlines {
		t.Run(test.name, func(t *testing.T) {
			testSplits(t, newRequests, test.wire, test.want, ErrShort)
		})
	}
}

func TestInlineMalformed(t *testing.T) {
	for _, test := range []struct{ name, wire string }{
		{"open double", `SET "a` + "\r\n"},
		{"open single", `SET 'a` + "\n"},
		{"open by escape", `SET "a\"` + "\n"},
		{"open by backslash", `SET "a\` + "\n"},
		{"open by hexadecimal", `SET "\x2` + "\n"},
		{"open by single escape", `SET 'a\'` + "\n"},
		{"open by two backslashes", `SET 'a\\'` + "\n"},
		{"only a quote", `"` + "\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			testSplits(t, newRequests, test.wire, nil, ErrMalformed)
			testSplits(t, newRequests, "PING\n"+test.wire+"PING\n", []string{`1 "PING" inline`}, ErrMalformed)
		})
	}
}
