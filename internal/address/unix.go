package address

import (
	"strconv"
	"strings"
)

// unixScheme begins the address of a Unix socket.
const unixScheme = "unix:"

// maxPath is the longest path or abstract name of a Unix socket in bytes: sun_path has 108, and one
// of them ends the path, or begins the name.
const maxPath = 107

// isNumber reports whether a text is a number: unix:6379 is port 6379 of the host "unix".
func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil
}

// UnixPath returns the one form of a path: /var/run is /run everywhere.
func UnixPath(path string) string {
	if rest, found := strings.CutPrefix(path, "/var/run/"); found {
		return "/run/" + rest
	}
	return path
}

// pathError returns why the path of a text cannot be that of a Unix socket, or nil.
func pathError(text, path string) *Error {
	const forms = "allowed unix:/run/redis/redis.sock, and unix:@name for an abstract name"
	quoted := strconv.Quote(text)
	name, abstract := strings.CutPrefix(path, "@")
	switch {
	case path == "" || abstract && name == "":
		return &Error{Cause: quoted + " has no path", Allowed: forms}
	case strings.HasPrefix(path, "//"):
		return &Error{Cause: quoted + " is a URL", Allowed: "write unix:/" + strings.TrimLeft(path, "/")}
	case !abstract && path[0] != '/':
		return &Error{Cause: quoted + " is a relative path", Allowed: "write the path from / on, as the server binds it"}
	case len(path) > maxPath && !abstract || len(name) > maxPath:
		return &Error{Cause: quoted + " is longer than the path of a socket can be", Allowed: "allowed up to 107 bytes"}
	case strings.ContainsRune(path, 0):
		return &Error{Cause: quoted + " contains a zero byte", Allowed: forms}
	case !abstract && strings.HasSuffix(path, "/"):
		return &Error{Cause: quoted + " is a directory", Allowed: forms}
	}
	return nil
}
