// Program render prints the objects of the chart, for tests outside of this module. It reads values from its input.
//
//	render ../../deploy/helm/redis-observer NAME NAMESPACE <values.yaml
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/redis-observer/redis-observer/test/deploy/chart"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func run(arguments []string, in io.Reader, out io.Writer) error {
	if len(arguments) != 3 {
		return errors.New("want the folder of the chart, the name of the release, and its namespace")
	}
	values, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	objects, err := chart.Render(arguments[0], chart.Release{Name: arguments[1], Namespace: arguments[2]}, values)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(out, objects)
	return err
}
