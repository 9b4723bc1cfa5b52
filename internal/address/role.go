package address

// Role is what the addresses of an endpoint are for: which end of their connections counts.
type Role uint8

// The roles.
const (
	Client Role = iota // the end that connected
	Server             // the end that accepted
	Ignore             // neither
)

// Roles are the roles by their names in the configuration.
var Roles = []string{"client", "server", "ignore"}

// String returns the name of the role in the configuration.
func (r Role) String() string { return Roles[r] }
