package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// suite is a test suite of others.
type suite struct {
	name     string
	external bool // it uses one server that is started for it; otherwise it starts its own
	run      func(ctx context.Context, p *place, only []string) (outcomes, error)
	touch    func(ctx context.Context, p *place) (func() error, error) // returns what has the client's library connect; nil: redis-cli does
	unread   bool                                                      // its clients use OpenSSL in a way that is not read: only the server's end is judged
	parts    []string                                                  // of the suite that are run
	short    []string                                                  // of them with -short
}

// suites are all that there are. The tarballs of ioredis and node-redis in npm's registry have no tests.
var suites = []suite{
	{
		name: "hiredis", external: true, run: hiredis,
	},
	{
		name: "redis-py", external: true, run: redisPy, touch: touchAsync,
		// Left out: what needs modules, a cluster, sentinels or other packages, and tests without a server.
		parts: strings.Fields(`test_commands.py test_pipeline.py test_pubsub.py test_lock.py test_scripting.py test_encoding.py test_monitor.py
			test_multiprocessing.py test_hash.py test_function.py test_ssl.py test_connect.py test_connection_pool.py
			test_asyncio/test_commands.py test_asyncio/test_pipeline.py test_asyncio/test_pubsub.py test_asyncio/test_lock.py
			test_asyncio/test_scripting.py test_asyncio/test_encoding.py test_asyncio/test_monitor.py test_asyncio/test_hash.py
			test_asyncio/test_connect.py test_asyncio/test_ssl.py`),
		short: strings.Fields("test_pipeline.py test_encoding.py test_scripting.py test_hash.py test_asyncio/test_pipeline.py test_asyncio/test_hash.py"),
	},
	{
		// The parts are containers of specs.
		name: "go-redis", external: true, run: goRedis, touch: touchGo,
		parts: strings.Fields("Commands pipelining PubSub Tx ScanIterator BitCount Conn pool"),
		short: strings.Fields("pipelining PubSub Tx ScanIterator BitCount Conn pool"),
	},
	{
		name: "redis", run: runtest, unread: true,
		parts: strings.Fields(`auth protocol keyspace scan info type/string type/incr type/hash type/list type/set type/stream-cgroups
			sort expire multi quit acl pubsub pubsubshard scripting functions introspection introspection-2 bitops bitfield
			hyperloglog tls tracking networking querybuf wait pause`),
		short: strings.Fields("auth protocol type/hash multi quit pubsub tls"),
	},
	{
		name: "redis-external", external: true, run: runtest, unread: true,
		parts: strings.Fields("keyspace scan type/string type/incr type/hash type/list sort expire multi pubsub bitops bitfield tracking"),
		short: strings.Fields("keyspace type/hash multi pubsub"),
	},
}

// execute runs a program of a suite, in a folder of the cache, and returns what it printed. It is no error if the program says that
// tests failed.
func (p *place) execute(ctx context.Context, folder string, environment []string, program string, arguments ...string) (string, error) {
	ctx, stop := context.WithTimeout(ctx, suiteTime)
	defer stop()
	var output bytes.Buffer
	c := exec.CommandContext(ctx, program, arguments...)
	c.Dir, c.Stdout, c.Stderr = filepath.Join(p.cache, folder), &output, &output
	c.Env = append(os.Environ(), environment...)
	// The suites start processes of their own.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	err := c.Run()
	if p.verbose {
		fmt.Println(output.String())
	}
	if c.ProcessState != nil && c.ProcessState.ExitCode() >= 0 && ctx.Err() == nil {
		err = nil
	}
	return output.String(), err
}

// suiteTime is how long a suite may take.
const suiteTime = 30 * time.Minute

// hiredis runs the program that tests the library over TCP and over TLS. It cannot run a test alone.
func hiredis(ctx context.Context, p *place, _ []string) (outcomes, error) {
	output, err := p.execute(ctx, "hiredis", nil, "./hiredis-test", "-h", "127.0.0.1", "-p", strconv.Itoa(plainPort), "-s", "none",
		"--ssl-host", "127.0.0.1", "--ssl-port", strconv.Itoa(tlsPort),
		"--ssl-ca-cert", p.certificate.File, "--ssl-cert", p.certificate.File, "--ssl-key", p.certificate.Key)
	return parseHiredis(output), err
}

// redisPy runs the files of redis-py's suite, or single tests.
func redisPy(ctx context.Context, p *place, only []string) (outcomes, error) {
	for _, name := range []string{"ca.crt", "client.crt", "redis.crt"} {
		if err := p.give("redis-py/dockers/standalone/tls", p.certificate.File, name); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"client.key", "redis.key"} {
		if err := p.give("redis-py/dockers/standalone/tls", p.certificate.Key, name); err != nil {
			return nil, err
		}
	}
	if only == nil {
		for _, part := range p.parts {
			only = append(only, "tests/"+part)
		}
	}
	list := filepath.Join(p.folder, "outcomes")
	if err := os.RemoveAll(list); err != nil {
		return nil, err
	}
	address := fmt.Sprintf("rediss://localhost:%d", tlsPort)
	arguments := append([]string{
		"-m", "pytest", "-q", "-p", "over_tls", "-p", "no:cacheprovider", "-o", "filterwarnings=ignore", "--tb=short",
		"--redis-url", address + "/0?ssl_cert_reqs=none&ssl_check_hostname=false", "--redis-ssl-url", address,
		// CONFIG RESETSTAT takes what is compared. The others name localhost:6379, where nothing listens.
		"-m", "not onlycluster and not redismod", "-k", "not test_config_resetstat and not localhost and not test_connect_from_url_tcp",
	}, only...)
	output, err := p.execute(ctx, "redis-py", []string{
		"OUTCOMES=" + list, "PYTHONDONTWRITEBYTECODE=1",
		"PYTHONPATH=" + p.here + ":" + filepath.Join(p.cache, "redis-py/root/usr/lib/python3/dist-packages"),
	}, "python3", arguments...)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(list)
	if err != nil {
		return nil, fmt.Errorf("%w; pytest printed:\n%s", err, output)
	}
	return parsePytest(string(text)), nil
}

// goRedis runs the specs of go-redis that its authors run against servers elsewhere, which may have TLS, or single ones.
func goRedis(ctx context.Context, p *place, only []string) (outcomes, error) {
	if only == nil {
		return ginkgo(ctx, p, tlsPort, "^go-redis ("+strings.Join(p.parts, "|")+") ")
	}
	for i, name := range only {
		only[i] = regexp.QuoteMeta(numbered.ReplaceAllString(name, ""))
	}
	return ginkgo(ctx, p, tlsPort, "^go-redis ("+strings.Join(only, "|")+")$")
}

// touchGo runs some specs against the other server.
func touchGo(ctx context.Context, p *place) (func() error, error) {
	return func() error {
		_, err := ginkgo(ctx, p, warmPort, "^go-redis (ScanIterator|BitCount) ")
		return err
	}, nil
}

func ginkgo(ctx context.Context, p *place, port int, focus string) (outcomes, error) {
	endpoints, report := filepath.Join(p.folder, "endpoints.json"), filepath.Join(p.folder, "report.xml")
	text := fmt.Sprintf(`{"it": {"tls": true, "raw_endpoints": [{"dns_name": "127.0.0.1", "port": %d}]}}`, port)
	if err := os.WriteFile(endpoints, []byte(text), 0o600); err != nil {
		return nil, err
	}
	environment := []string{"RE_CLUSTER=true", "REDIS_VERSION=7.0", "REDIS_ENDPOINTS_CONFIG_PATH=" + endpoints}
	_, err := p.execute(ctx, "go-redis", environment, "./go-redis.test", "-test.run=TestGinkgoSuite", "-ginkgo.seed=1",
		"-ginkgo.label-filter=!NonRedisEnterprise", "-ginkgo.focus="+focus, "-ginkgo.junit-report="+report,
		"-ginkgo.skip=HotKeys|should ConfigResetStat") // which takes what is compared
	if err != nil {
		return nil, err
	}
	xml, err := os.ReadFile(report)
	if err != nil {
		return nil, err
	}
	return parseGinkgo(xml)
}

// runtest runs units of Redis' own suite, whose client is Tcl's with OpenSSL, or single tests.
func runtest(ctx context.Context, p *place, only []string) (outcomes, error) {
	arguments := []string{"--tls", "--clients", "1", "--durable", "--baseport", strconv.Itoa(tlsPort), "--portcount", "80"}
	if p.external {
		// CONFIG RESETSTAT takes what is compared.
		arguments = append(arguments, "--host", "127.0.0.1", "--port", strconv.Itoa(tlsPort), "--tags", "-needs:config-resetstat")
	}
	units := map[string]bool{}
	for _, test := range only {
		unit, name, _ := strings.Cut(strings.TrimPrefix(test, "unit/"), ": ")
		units[unit] = true
		arguments = append(arguments, "--only", numbered.ReplaceAllString(name, ""))
	}
	for _, part := range p.parts {
		if only == nil || units[part] {
			arguments = append(arguments, "--single", "unit/"+part)
		}
	}
	libraries, err := filepath.Glob(filepath.Join(p.cache, "redis/root/usr/lib/tcltk/*/tcltls*"))
	if err != nil || len(libraries) != 1 {
		return nil, fmt.Errorf("find the TLS library of Tcl: %v %w", libraries, err)
	}
	output, err := p.execute(ctx, "redis", []string{"TERM=dumb", "TCLLIBPATH=" + libraries[0]}, "./runtest", arguments...)
	if err == nil && !strings.Contains(output, "Cleanup: may take some time") {
		err = fmt.Errorf("runtest gave up: %s", output[max(0, len(output)-2000):])
	}
	return parseTcl(output), err
}

// give copies a file to where a suite looks for it.
func (p *place) give(folder, file, name string) error {
	folder = filepath.Join(p.cache, folder)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), text, 0o600)
}
