package command

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLookup(t *testing.T) {
	tests := []struct {
		name      string
		command   string
		sub       []byte
		want      ID
		wantLabel string
	}{
		{"lower case", "get", []byte("key"), Get, "get"},
		{"upper case", "GET", []byte("key"), Get, "get"},
		{"mixed case", "gEt", nil, Get, "get"},
		{"nine bytes", "SubScribe", []byte("c"), Subscribe, "subscribe"},
		{"three words long", "GEORADIUSBYMEMBER_RO", nil, GeoradiusbymemberRo, "georadiusbymember_ro"},
		{"hyphen", "RESTORE-ASKING", []byte("key"), RestoreAsking, "restore_asking"},
		{"module", "JSON.GET", []byte("key"), JsonGet, "json_get"},
		{"container and subcommand", "CONFIG", []byte("Get"), ConfigGet, "config_get"},
		{"subcommand with hyphen", "client", []byte("NO-EVICT"), ClientNoEvict, "client_no_evict"},
		{"subcommand of clients ahead of the server", "CLIENT", []byte("SETINFO"), ClientSetinfo, "client_setinfo"},
		{"sentinel", "SENTINEL", []byte("get-master-addr-by-name"), SentinelGetMasterAddrByName, "sentinel_get_master_addr_by_name"},
		{"bare container", "CONFIG", nil, Config, "config"},
		{"not a container", "DEBUG", []byte("sleep"), Debug, "debug"},
		{"HTTP header", "Host:", []byte("example"), Host, "host:"},
		{"unknown", "nonsense", nil, Other, "other"},
		{"unknown subcommand", "config", []byte("nonsense"), Other, "other"},
		{"empty subcommand", "config", []byte{}, Other, "other"},
		{"subcommand as a command", "no-evict", nil, Other, "other"},
		{"whole wire name as a command", "config|get", nil, Other, "other"},
		{"empty", "", nil, Other, "other"},
		{"head of a command", "ge", nil, Other, "other"},
		{"longer than a command", "gett", nil, Other, "other"},
		{"differs in the first word", "XEORADIUSBYMEMBER_RO", nil, Other, "other"},
		{"as long as the parser goes", strings.Repeat("g", 64), nil, Other, "other"},
		{"NUL padded", "get\x00", nil, Other, "other"},
		{"control byte that a careless lower case takes for a letter", "\x07et", nil, Other, "other"},
		{"byte above 127", "g\xc5t", nil, Other, "other"},
		{"the name of Other", "other", nil, Other, "other"},
	}
	table := Builtin()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := table.Lookup([]byte(tt.command), tt.sub)
			assert.Equal(t, tt.want, id)
			assert.Equal(t, tt.wantLabel, table.Label(id, Wire))
		})
	}
}

// Every command is found by its own name in both cases, and is no other's.
func TestLookupWhole(t *testing.T) {
	table := Builtin()
	require.Equal(t, builtins, table.Count())
	for id := Other + 1; id < builtins; id++ {
		name, sub, ok := strings.Cut(table.Wire(id), "|")
		var argument []byte
		if ok {
			argument = []byte(sub)
		}
		assert.Equal(t, id, table.Lookup([]byte(name), argument), table.Wire(id))
		if ok {
			argument = []byte(strings.ToUpper(sub))
		}
		assert.Equal(t, id, table.Lookup([]byte(strings.ToUpper(name)), argument), table.Wire(id))
		assert.LessOrEqual(t, len(name), maxName)
	}
}

func TestLabelStyles(t *testing.T) {
	tests := []struct {
		id            ID
		wire, redisPy string
	}{
		{Del, "del", "delete"},
		{ConfigGet, "config_get", "config_get"},
		{ObjectEncoding, "object_encoding", "object"},
		{ClusterCountFailureReports, "cluster_count_failure_reports", "cluster_count_failure_report"},
		{ClusterGetkeysinslot, "cluster_getkeysinslot", "cluster_get_keys_in_slot"},
		{ClusterSaveconfig, "cluster_saveconfig", "cluster_save_config"},
		{Debug, "debug", "debug"},
		{Other, "other", "other"},
		{ID(builtins), "other", "other"},
	}
	for _, tt := range tests {
		t.Run(tt.wire, func(t *testing.T) {
			assert.Equal(t, tt.wire, Builtin().Label(tt.id, Wire))
			assert.Equal(t, tt.redisPy, Builtin().Label(tt.id, RedisPy))
		})
	}
}

func TestTraits(t *testing.T) {
	assert.Equal(t, Blocks, Blpop.Traits())
	assert.Equal(t, BlocksWithOption, Xreadgroup.Traits())
	assert.Equal(t, RunsScript, FcallRo.Traits())
	assert.Equal(t, Container, Client.Traits())
	assert.Zero(t, Get.Traits())
	assert.Zero(t, Other.Traits())
	assert.Zero(t, ID(builtins).Traits())
}

func TestNew(t *testing.T) {
	table, err := New([]string{"MY.Command", "config|vendor", "get", "config|get"},
		map[string]string{"XGET": "get", "admin": "CONFIG", "mine": "my.command"})
	require.NoError(t, err)
	assert.Equal(t, builtins+2, table.Count(), "known extras take no ID")

	extra := table.Lookup([]byte("my.COMMAND"), nil)
	assert.Equal(t, ID(builtins), extra)
	assert.Equal(t, "my.command", table.Wire(extra))
	assert.Equal(t, "my_command", table.Label(extra, RedisPy))
	assert.Equal(t, extra, table.Lookup([]byte("MINE"), nil))
	assert.Equal(t, "config_vendor", table.Label(table.Lookup([]byte("config"), []byte("VENDOR")), Wire))
	assert.Equal(t, Get, table.Lookup([]byte("xget"), nil))
	assert.Equal(t, Get, table.Lookup([]byte("get"), nil))
	assert.Equal(t, ConfigGet, table.Lookup([]byte("Admin"), []byte("get")))

	assert.Equal(t, Other, Builtin().Lookup([]byte("xget"), nil), "other tables are untouched")
	assert.Equal(t, builtins, Builtin().Count())
}

// A table with the most extras that are allowed has outgrown its first index.
func TestNewMany(t *testing.T) {
	extra := make([]string, maxExtra)
	for i := range extra {
		extra[i] = "extra." + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
	}
	table, err := New(extra, nil)
	require.NoError(t, err)
	require.Equal(t, builtins+maxExtra, table.Count())
	for i, name := range extra {
		assert.Equal(t, ID(builtins+i), table.Lookup([]byte(name), nil), name)
	}
	assert.Equal(t, Get, table.Lookup([]byte("get"), nil))
}

func TestNewInvalid(t *testing.T) {
	tests := []struct {
		name    string
		extra   []string
		renamed map[string]string
		want    string
	}{
		{"empty name", []string{""}, nil, `extra command "": must have 1 to 63 bytes, not 0`},
		{"long name", []string{strings.Repeat("x", 64)}, nil, "must have 1 to 63 bytes, not 64"},
		{"space", []string{"a b"}, nil, `extra command "a b": must consist of letters, digits and _ . - | :, not ' '`},
		{"no ASCII", []string{"gét"}, nil, "must consist of letters"},
		{"no container", []string{"get|it"}, nil, `extra command "get|it": "get" is not a command with subcommands`},
		{"two bars", []string{"config|get|it"}, nil, "must have the form container|subcommand"},
		{"bar at the end", []string{"config|"}, nil, "must have the form container|subcommand"},
		{"too many", make([]string, maxExtra+1), nil, "extra commands: must be at most 1024, not 1025"},
		{"unknown target", nil, map[string]string{"xget": "gett"}, `renamed command "xget": unknown command "gett" (give the name before renaming, such as get)`},
		{"target is a subcommand", nil, map[string]string{"xget": "config|get"}, `unknown command "config|get"`},
		{"renamed to a known name", nil, map[string]string{"set": "get"}, `renamed command "set": already the name of another command`},
		{"renamed subcommand", nil, map[string]string{"config|fetch": "get"}, `renamed command "config|fetch": a subcommand cannot be renamed`},
		{"bad renamed name", nil, map[string]string{"x get": "get"}, `renamed command "x get": must consist of letters, digits and _ . - | :, not ' '`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table, err := New(tt.extra, tt.renamed)
			require.ErrorContains(t, err, tt.want)
			assert.Nil(t, table)
		})
	}

	_, err := New([]string{"a b", ""}, map[string]string{"x": "y"})
	require.Error(t, err)
	assert.Len(t, strings.Split(err.Error(), "\n"), 3, "all faults at once")
}

func TestAllocations(t *testing.T) {
	name, sub := []byte("CONFIG"), []byte("GET")
	text := []byte("WRONGTYPE Operation against a key holding the wrong kind of value")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		Builtin().Lookup(name, sub)
		LookupPrefix(text)
	}))
}

func FuzzLookup(f *testing.F) {
	f.Add([]byte("GET"), []byte("key"))
	f.Add([]byte("config"), []byte("GET"))
	f.Add([]byte("georadiusbymember_ro"), []byte(nil))
	f.Fuzz(func(t *testing.T, name, sub []byte) {
		table := Builtin()
		id := table.Lookup(name, sub)
		if id == Other {
			return
		}
		want := string(name)
		if _, _, ok := strings.Cut(table.Wire(id), "|"); ok {
			want += "|" + string(sub)
		}
		require.True(t, strings.EqualFold(want, table.Wire(id)))
		require.Len(t, want, len(table.Wire(id)), "no folding beyond ASCII")
	})
}

func BenchmarkLookup(b *testing.B) {
	for _, bb := range []struct {
		name         string
		command, sub []byte
	}{
		{"short", []byte("GET"), []byte("key:000000000001")},
		{"long", []byte("ZREMRANGEBYSCORE"), []byte("key:000000000001")},
		{"container", []byte("CONFIG"), []byte("GET")},
		{"unknown", []byte("NONSENSE"), nil},
	} {
		b.Run(bb.name, func(b *testing.B) {
			table := Builtin()
			b.ReportAllocs()
			for b.Loop() {
				table.Lookup(bb.command, bb.sub)
			}
		})
	}
}
